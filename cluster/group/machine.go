package group

import (
	"errors"

	"quorumta/cluster/group/fold"
)

// What a Machine works with (package fold).
type (
	// View reads a shard's state.
	View = fold.View
	// Batch collects the effects of entries.
	Batch = fold.Batch
	// Entry is one committed log entry.
	Entry = fold.Entry
	// Result is the machine's verdict on one group of an entry.
	Result = fold.Result
	// Skipper is a Machine that is told of entries which are skipped.
	Skipper = fold.Skipper
	// Restorer is a Machine that is told that its state was replaced.
	Restorer = fold.Restorer
)

// Machine is what a shard replicates into.
type Machine interface {
	fold.Machine
	// Lead says that this node holds the office of the term and has applied
	// everything of the terms before. It must not block; Unlead ends it. The
	// two alternate, called from one goroutine per shard.
	Lead(term uint64)
	Unlead()
}

// What the methods of a Group fail with.
var (
	// ErrNotLeader: nothing was proposed; ask the leader, or use another shard.
	ErrNotLeader = errors.New("not the leader of the shard")
	// ErrUnknownOutcome: the entry may or may not commit; ask the same shard
	// until it is known (PROTOCOL 19).
	ErrUnknownOutcome = errors.New("the outcome is not known")
	// ErrTooLarge: the entry is longer than MaxEntry; nothing was proposed.
	ErrTooLarge = errors.New("entry longer than 1 MiB")
	// ErrRefused: the change makes no sense as the shard's configuration is;
	// nothing was proposed.
	ErrRefused = errors.New("refused")
	// ErrStopped: the shard's replica on this node has stopped for good;
	// Status says why.
	ErrStopped = errors.New("stopped")
)
