package store

// Mark is one shard's high-water mark: (term, index) of the newest entry this
// node has synced, in a small checksummed file of its own, so that a log which
// silently lost its tail is told from one that never had it (PROTOCOL 7).
type Mark struct{}

// Mark opens the mark of a shard.
func (s *Store) Mark(shard uint16) (*Mark, error) { panic("store: Mark is not built") }

// Value is the mark as it is on disk.
func (m *Mark) Value() (term, index uint64) { panic("store: Value is not built") }

// Raise notes a synced entry; the file follows at most 100 ms later.
func (m *Mark) Raise(term, index uint64) { panic("store: Raise is not built") }

// Lower sets the mark and returns when it is synced: before every legal
// shortening of the log.
func (m *Mark) Lower(term, index uint64) error { panic("store: Lower is not built") }
