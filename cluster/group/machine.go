package group

import "errors"

// View reads a shard's state. It panics when the store cannot be read: a node
// that cannot read its own state must not go on.
type View interface {
	// Get returns the value of key, which the caller may keep.
	Get(key []byte) (value []byte, ok bool)
	// Scan calls f in ascending order for the keys from lo, included, to hi,
	// excluded (a nil hi: to the end of the shard), until f returns false.
	// Key and value are valid during the call only.
	Scan(lo, hi []byte, f func(key, value []byte) bool)
}

// Batch collects the effects of entries. Reads of the View that belongs to it
// see them at once; they reach the store together with the applied index.
type Batch interface {
	Set(key, value []byte)
	Delete(key []byte)
	// DeleteRange deletes the keys from lo, included, to hi, excluded.
	DeleteRange(lo, hi []byte)
}

// Entry is one committed log entry.
type Entry struct {
	Index uint64
	// Term is Raft's term of the entry, which is not always the term that its
	// proposer decided in (PROTOCOL 14).
	Term uint64
	// Data is valid until Apply returns.
	Data []byte
}

// Result is the machine's verdict on one group of an entry. It is part of the
// running digest, so it must be the same on every replica.
type Result uint8

// Machine is what a shard replicates into.
type Machine interface {
	// Apply folds one entry. It is called from one goroutine, in log order,
	// and must be a function of view and entry alone. What it panics with
	// stops the shard, not the node.
	Apply(view View, batch Batch, entry Entry) []Result
	// Lead says that this node holds the office of the term and has applied
	// everything of the terms before. It must not block; Unlead ends it. The
	// two alternate, called from one goroutine per shard.
	Lead(term uint64)
	Unlead()
}

// Skipper is a Machine that is told of entries which are skipped because their
// fold panics (PROTOCOL 22). Without it a skipped entry has no effect.
type Skipper interface {
	// Skipped is called like Apply, for an entry that Apply cannot fold: it
	// holds what the entry concerns, as far as it can be told. The results are
	// those that the entry's proposer gets.
	Skipped(view View, batch Batch, entry Entry) []Result
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
