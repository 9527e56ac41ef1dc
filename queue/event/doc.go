// Package event holds the facts that the log is made of, and their encoding.
// It is pure: no clock, no random source, no goroutine, no I/O.
//
// An Entry is what Raft replicates: a list of groups. A Group is about one
// message and is applied or refused as a whole. An Event is a fact in the past
// tense, decided by the leader; folding it asks nothing but the state.
package event
