package fold

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

// Machine is what folds entries.
type Machine interface {
	// Apply folds one entry. It is called from one goroutine, in log order,
	// and must be a function of view and entry alone. What it panics with
	// stops the shard, not the node.
	Apply(view View, batch Batch, entry Entry) []Result
}

// Skipper is a Machine that is told of entries which are skipped because their
// fold panics (PROTOCOL 22). Without it a skipped entry has no effect.
type Skipper interface {
	// Skipped is called like Apply, for an entry that Apply cannot fold: it
	// holds what the entry concerns, as far as it can be told. The results are
	// those that the entry's proposer gets.
	Skipped(view View, batch Batch, entry Entry) []Result
}

// Restorer is a Machine that is told when the state under it was replaced by a
// snapshot, so that it forgets what it remembers of the one before.
type Restorer interface {
	// Restored is called while nothing is applied.
	Restored()
}
