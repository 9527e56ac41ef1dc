// Package work does the same work to every subject: a cell (messages of one
// size over so many sessions) for a while, until the next hop has what was
// acknowledged. It says how fast that went, how long clients waited for the
// answer to the final dot, and what the machine spent on it.
package work
