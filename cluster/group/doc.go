// Package group is one Raft group of a node, with guards around what
// hashicorp/raft v1.8.0 gets wrong.
//
// A Group outlives its replica: Run opens a replica, serves, and closes it
// again, when it must be reopened (PROTOCOL 6, 8, 29) or the node stops. The
// office is this node's leadership in a term; it begins when a barrier of that
// term has been applied and ends with the first sign of its loss. The lease is
// the time in which nobody else can hold the office, kept from the send times
// of answered appends.
//
// The guards that are not in package transport, each with a test that fails
// without it: a dead leader is followed at once (takeover.go), one whose disk
// hangs offers the office to another (resign.go, succession), a log that lost
// its tail does not vote (open.go), an install over a longer log reopens
// (open.go), a transfer that never ends reopens (office.go), no future is left
// behind (futures).
//
// The configuration, who replicates the shard, is changed by the holder of the
// office, one replica at a time (configuration.go); the lease knows the next one
// before Raft does. A replica may begin empty where the node joins
// (Options.Joining). A large state is fetched beside Raft (fetch). An entry whose
// fold panics stops every replica, until it is skipped (fold, stop.go).
package group
