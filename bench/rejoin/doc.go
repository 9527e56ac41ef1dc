// Package rejoin measures what it costs a cluster under full load to take back
// a node that has lost its data, while a queue waits for a next hop that is
// down: the rate at which mail is accepted, in short windows, before the node
// is killed, with two nodes alone, while the third catches up, and after.
package rejoin
