// Package feed hands what is folded to those who follow it. It remembers the
// newest records, since a follower that reads the history first would
// otherwise miss what was folded but not yet to be seen in the store.
package feed
