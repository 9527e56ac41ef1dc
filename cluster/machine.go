package cluster

import (
	"context"
	"errors"

	"quorumta/cluster/control"
	"quorumta/cluster/group"
	"quorumta/cluster/wire"
)

// ShardID names a shard: 1 to 4095, never reused. 0 is the control group, which
// no method of a Node names.
type ShardID = uint16

// What a shard replicates into, and what it is given.
type (
	// Machine folds the entries of a shard.
	Machine = group.Machine
	// View reads a shard's state.
	View = group.View
	// Batch collects the effects of entries.
	Batch = group.Batch
	// Entry is one committed log entry.
	Entry = group.Entry
	// Result is the machine's verdict on one group of an entry.
	Result = group.Result
)

// Emptier is a Machine that can tell when its shard holds nothing any more, so
// that a shard that retires can go. Without it a shard never goes.
type Emptier interface {
	// Empty is called on the shard's leader, about once a second, while the
	// shard retires.
	Empty(view View) bool
}

// Closer is a Machine that is told that this node's replica is gone for good.
type Closer interface {
	// Close is called once, after the last Apply and Unlead. The shard may be
	// opened again later, with a machine of its own.
	Close()
}

// Handler answers a call from another node. from is the caller's name as its
// certificate says.
type Handler = wire.Handler

// CallError is an error that a handler on another node returned.
type CallError = wire.CallError

// MaxEntry is the longest entry that can be proposed, bytes.
const MaxEntry = group.MaxEntry

// What Propose, Barrier, View and Call fail with.
var (
	// ErrNotLeader: nothing was proposed; ask the leader, or use another shard.
	ErrNotLeader = group.ErrNotLeader
	// ErrUnknownOutcome: the entry may or may not commit; ask the same shard
	// until it is known (PROTOCOL 19).
	ErrUnknownOutcome = group.ErrUnknownOutcome
	// ErrTooLarge: the entry is longer than MaxEntry; nothing was proposed.
	ErrTooLarge = group.ErrTooLarge
	// ErrStopped: the shard's replica on this node has stopped for good.
	ErrStopped = group.ErrStopped
	// ErrNoSuchShard: the node has no replica of it, or it does not exist.
	ErrNoSuchShard = errors.New("no such shard here")
	// ErrUnreachable: the node could not be called; the call may have run.
	ErrUnreachable = wire.ErrUnreachable
	// ErrToken: the join token is unknown, used or expired.
	ErrToken = control.ErrToken
	// ErrRemoved: Run ended because the node is no member any more.
	ErrRemoved = errors.New("no member any more")
	// ErrDiskFull: a live replica of the shard is below its floor of free disk.
	ErrDiskFull = errors.New("a replica's disk is full")
)

// travelling are the errors that stay what they are when a handler on another
// node returns them.
var travelling = map[string]error{
	"not-leader":      ErrNotLeader,
	"unknown-outcome": ErrUnknownOutcome,
	"too-large":       ErrTooLarge,
	"stopped":         ErrStopped,
	"no-such-shard":   ErrNoSuchShard,
	"token":           ErrToken,
	"disk-full":       ErrDiskFull,
	"deadline":        context.DeadlineExceeded,
}
