package store

import (
	"io"
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// Options says where and how the store lives; every field is needed.
type Options struct {
	// Dir is the data directory; "log", "state" and "snapshots" are made in it.
	Dir string
	FS  vfs.FS
	// MemoryBytes bounds memtables and caches of both Pebbles.
	MemoryBytes int64
	Log         *slog.Logger
	// Fatal is called when a write, a sync or a read of our own data fails. The
	// caller must not go on after it.
	Fatal func(error)
}

// Store is the pair of Pebbles of one node.
type Store struct{}

// Open opens or makes the store. An error names the damaged file where Pebble
// tells it.
func Open(o Options) (*Store, error) { panic("store: Open is not built") }

// Close closes both Pebbles; the state is flushed first.
func (s *Store) Close() error { panic("store: Close is not built") }

// FlushState makes the states of all shards durable as they are now.
func (s *Store) FlushState() error { panic("store: FlushState is not built") }

// Log is one shard's raft.LogStore, raft.StableStore and
// raft.MonotonicLogStore. StoreLogs, Set and SetUint64 return when synced.
type Log struct{}

var (
	_ raft.LogStore          = (*Log)(nil)
	_ raft.StableStore       = (*Log)(nil)
	_ raft.MonotonicLogStore = (*Log)(nil)
)

// Log opens the log of a shard.
func (s *Store) Log(shard uint16) (*Log, error) { panic("store: Log is not built") }

// FirstIndex implements raft.LogStore.
func (l *Log) FirstIndex() (uint64, error) { panic("store: FirstIndex is not built") }

// LastIndex implements raft.LogStore.
func (l *Log) LastIndex() (uint64, error) { panic("store: LastIndex is not built") }

// GetLog implements raft.LogStore.
func (l *Log) GetLog(index uint64, log *raft.Log) error { panic("store: GetLog is not built") }

// StoreLog implements raft.LogStore.
func (l *Log) StoreLog(log *raft.Log) error { panic("store: StoreLog is not built") }

// StoreLogs implements raft.LogStore.
func (l *Log) StoreLogs(logs []*raft.Log) error { panic("store: StoreLogs is not built") }

// DeleteRange implements raft.LogStore.
func (l *Log) DeleteRange(lo, hi uint64) error { panic("store: DeleteRange is not built") }

// IsMonotonic implements raft.MonotonicLogStore: after a snapshot was
// installed raft drops the log whole.
func (l *Log) IsMonotonic() bool { return true }

// Set implements raft.StableStore.
func (l *Log) Set(key, value []byte) error { panic("store: Set is not built") }

// Get implements raft.StableStore.
func (l *Log) Get(key []byte) ([]byte, error) { panic("store: Get is not built") }

// SetUint64 implements raft.StableStore.
func (l *Log) SetUint64(key []byte, value uint64) error { panic("store: SetUint64 is not built") }

// GetUint64 implements raft.StableStore.
func (l *Log) GetUint64(key []byte) (uint64, error) { panic("store: GetUint64 is not built") }

// Tail is index and term of the last entry; zeros if the log is empty.
func (l *Log) Tail() (index, term uint64) { panic("store: Tail is not built") }

// Drop deletes the whole log, synced: it disagrees with a snapshot.
func (l *Log) Drop() error { panic("store: Drop is not built") }

// EntriesWithin is how many of the newest entries make up about the number of
// bytes, at least one: what raft's TrailingLogs is set to.
func (l *Log) EntriesWithin(bytes int64) uint64 { panic("store: EntriesWithin is not built") }

// Size is about the bytes of log appended since the store was opened: growth
// since the last snapshot is what triggers the next.
func (l *Log) Size() int64 { panic("store: Size is not built") }

// Oldest is how long the oldest write under way has been waiting, in
// nanoseconds; 0 if none is (PROTOCOL 30).
func (l *Log) Oldest() int64 { panic("store: Oldest is not built") }

// State is one shard's replicated state.
type State struct{}

// State opens the state of a shard. cluster and shard are written into a new
// state and compared with an old one's (PROTOCOL 4).
func (s *Store) State(shard uint16, cluster string) (*State, error) {
	panic("store: State is not built")
}

// Applied is the index and term of the last entry whose effects the state has.
func (st *State) Applied() (index, term uint64) { panic("store: Applied is not built") }

// Update is one batch of effects: it reads its own writes. It is used by one
// goroutine and ends with Commit or Discard.
type Update struct{}

// Update begins a batch.
func (st *State) Update() *Update { panic("store: Update is not built") }

// Get reads a key of the shard; the value may be kept.
func (u *Update) Get(key []byte) ([]byte, bool) { panic("store: Get is not built") }

// Scan reads the keys in [lo, hi), ascending.
func (u *Update) Scan(lo, hi []byte, f func(key, value []byte) bool) {
	panic("store: Scan is not built")
}

// Set sets a key.
func (u *Update) Set(key, value []byte) { panic("store: Set is not built") }

// Delete deletes a key.
func (u *Update) Delete(key []byte) { panic("store: Delete is not built") }

// DeleteRange deletes the keys in [lo, hi).
func (u *Update) DeleteRange(lo, hi []byte) { panic("store: DeleteRange is not built") }

// Commit makes the batch visible together with the applied index and term and
// the running digest (PROTOCOL 23): chain is the digest after the last entry.
func (u *Update) Commit(index, term uint64, chain [32]byte) { panic("store: Commit is not built") }

// Discard gives the batch up.
func (u *Update) Discard() { panic("store: Discard is not built") }

// Chain is the running digest after the entry Applied.
func (st *State) Chain() [32]byte { panic("store: Chain is not built") }

// View is a consistent, read-only view of a state. Close it soon.
type View struct{}

// View opens a view of the state as it is now, with what it has applied.
func (st *State) View() *View { panic("store: View is not built") }

// Get reads a key of the shard; the value may be kept.
func (v *View) Get(key []byte) ([]byte, bool) { panic("store: Get is not built") }

// Scan reads the keys in [lo, hi), ascending.
func (v *View) Scan(lo, hi []byte, f func(key, value []byte) bool) { panic("store: Scan is not built") }

// Applied is the index and term of the view.
func (v *View) Applied() (index, term uint64) { panic("store: Applied is not built") }

// WriteTo writes the view as a snapshot stream: a header (cluster, shard,
// lineage, applied, chain), framed and checksummed pairs, a trailer. Size
// tells its exact length beforehand only by writing it somewhere first.
func (v *View) WriteTo(w io.Writer) (int64, error) { panic("store: WriteTo is not built") }

// SHA256 is the digest of the replicated pairs, in order, without keys that
// are the node's own.
func (v *View) SHA256() [32]byte { panic("store: SHA256 is not built") }

// Close ends the view.
func (v *View) Close() { panic("store: Close is not built") }

// Restore replaces the state by a snapshot stream. It first makes "restoring"
// durable and removes it last, together with the new applied index (PROTOCOL
// 3); the whole is durable when it returns.
func (st *State) Restore(r io.Reader) error { panic("store: Restore is not built") }

// Restoring reports whether a Restore was begun and not finished.
func (st *State) Restoring() bool { panic("store: Restoring is not built") }
