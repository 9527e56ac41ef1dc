// Package state folds events into the state of a shard, decides what follows
// from it, and owns the shard's key space. It is pure: the time comes in as an
// argument, and nothing is read but the view that is handed in.
package state
