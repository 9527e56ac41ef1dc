package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"quorumta/cluster/store/keys"
	"quorumta/cluster/store/raftlog"
)

// State is one shard's replicated state. Update is for one goroutine at a
// time; everything else may be called from any.
type State struct {
	store  *Store
	shard  uint16
	writes raftlog.Stopwatch
	gone   atomic.Bool // the shard was dropped

	head atomic.Pointer[head] // replaced under mu
	// commits counts the beginnings and the ends of commits that bring a head:
	// while it is odd, and after one has failed, head may lie behind what the
	// Pebble shows.
	commits atomic.Uint64

	mu      sync.Mutex // serialises commits
	durable uint64     // what applied was at the last flush; guarded by store.mu
}

// head is what a state says of itself. It is written with every batch and
// never changed in place.
type head struct {
	restoring bool // is a key of its own
	era       int  // how many restores this process has begun; not stored
	cluster   string
	lineage   [16]byte
	applied   uint64
	term      uint64
	chain     [32]byte
}

// The head's value, under the local name "head":
//
//	+---------+---------+------+-------+---------+---------+
//	| version | applied | term | chain | lineage | cluster |
//	| 1       | 8 BE    | 8 BE | 32    | 16      | ...     |
//	+---------+---------+------+-------+---------+---------+
//
// version is the first byte for ever and 2 here, which stands for the machine's
// rows and its running digest too; the rest is the cluster's id.
// The local name "restoring" is there while a restore was begun and not ended.
const (
	headVersion = 2
	headFixed   = 1 + 8 + 8 + 32 + 16

	headName      = "head"
	restoringName = "restoring"
)

func (h head) encode() []byte {
	b := make([]byte, 0, headFixed+len(h.cluster))
	b = append(b, headVersion)
	b = binary.BigEndian.AppendUint64(b, h.applied)
	b = binary.BigEndian.AppendUint64(b, h.term)
	b = append(b, h.chain[:]...)
	b = append(b, h.lineage[:]...)
	return append(b, h.cluster...)
}

func decodeHead(b []byte) (head, error) {
	switch {
	case len(b) > 0 && b[0] != headVersion:
		return head{}, fmt.Errorf("the state has version %d, and this program reads version %d: start the program that wrote it", b[0], headVersion)
	case len(b) < headFixed:
		return head{}, fmt.Errorf("head of %d bytes cannot be decoded", len(b))
	}
	h := head{applied: binary.BigEndian.Uint64(b[1:]), term: binary.BigEndian.Uint64(b[9:]), cluster: string(b[headFixed:])}
	copy(h.chain[:], b[17:])
	copy(h.lineage[:], b[49:])
	return h, nil
}

// State opens the state of a shard. cluster and shard are written into a new
// state and compared with an old one's (PROTOCOL 4): ErrForeign. It fails with
// ErrDamaged where Damaged does. All calls for one shard return the same State.
func (s *Store) State(shard uint16, cluster string) (*State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.states[shard]
	if st == nil {
		if err := s.Damaged(shard); err != nil {
			return nil, err
		}
		st = &State{store: s, shard: shard}
		if err := st.load(cluster); err != nil {
			return nil, fmt.Errorf("open state of shard %d: %w", shard, err)
		}
	}
	if has := st.head.Load().cluster; has != cluster {
		return nil, fmt.Errorf("open state of shard %d: %w (cluster %q, not %q)", shard, ErrForeign, has, cluster)
	}
	s.states[shard] = st
	return st, nil
}

// load reads the head from disk.
func (st *State) load(cluster string) error {
	h, err := readHead(st.store, st.store.state, st.shard)
	if err != nil {
		return err
	}
	if h == nil {
		// A new state says nothing on disk before its first batch.
		h = &head{cluster: cluster}
	}
	st.head.Store(h)
	st.durable = h.applied
	return nil
}

// readHead reads the head of a state; nil if it is new.
func readHead(s *Store, r pebble.Reader, shard uint16) (*head, error) {
	b, ok := get(s, r, keys.Name(shard, keys.Local, []byte(headName)))
	if !ok {
		return nil, nil
	}
	h, err := decodeHead(b)
	if err != nil {
		return nil, err
	}
	_, h.restoring = get(s, r, keys.Name(shard, keys.Local, []byte(restoringName)))
	return &h, nil
}

// Applied is the index and term of the last entry whose effects the state has;
// zeros while it is being restored.
func (st *State) Applied() (index, term uint64) {
	h := st.head.Load()
	return h.applied, h.term
}

// Chain is the running digest after the entry Applied.
func (st *State) Chain() [32]byte { return st.head.Load().chain }

// Lineage tells the state from that of a restored backup; zeros in a state
// that began empty.
func (st *State) Lineage() [16]byte { return st.head.Load().lineage }

// Restoring reports whether a Restore was begun and not finished.
func (st *State) Restoring() bool { return st.head.Load().restoring }

// Oldest is how long the oldest commit under way has been waiting, in
// nanoseconds; 0 if none is (PROTOCOL 30).
func (st *State) Oldest() int64 { return int64(st.writes.Oldest()) }

// Durable is the index that the state survives a crash with at least.
func (st *State) Durable() uint64 {
	st.store.mu.Lock()
	defer st.store.mu.Unlock()
	return st.durable
}

// RaiseApplied sets applied to an index that has no effects, which Raft kept
// from the fold: a barrier, a no-op, a configuration (PROTOCOL 1). Lower
// indexes change nothing. The caller makes sure that every entry up to index
// that has effects was committed, and that none is between Update and Commit
// with an index below it.
func (st *State) RaiseApplied(index, term uint64) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	h := *st.head.Load()
	if index <= h.applied || h.restoring {
		return st.store.Err()
	}
	h.applied, h.term = index, term
	return st.commitLocked(st.store.state.NewBatch(), h)
}

// snapshot is what the Pebble shows now, and its head, which is nil in a new state.
// It is the one in memory unless a commit came between: views are opened several times
// for each message, and to read the head was most of what they cost.
func (st *State) snapshot() (*pebble.Snapshot, *head, error) {
	before, h := st.commits.Load(), st.head.Load()
	snap := st.store.state.NewSnapshot()
	// A shard that is dropped is gone before its rows are.
	if before%2 == 0 && st.commits.Load() == before && !st.gone.Load() {
		return snap, h, nil
	}
	h, err := readHead(st.store, snap, st.shard)
	return snap, h, err
}

// commitLocked commits a batch together with the head that it leads to.
func (st *State) commitLocked(batch *pebble.Batch, h head) error {
	defer st.writes.Start()()
	if st.gone.Load() {
		return errors.Join(fmt.Errorf("shard %d: %w", st.shard, ErrDropped), batch.Close())
	}
	if err := batch.Set(keys.Name(st.shard, keys.Local, []byte(headName)), h.encode(), nil); err != nil {
		return errors.Join(st.store.fail(fmt.Errorf("write state: %w", err)), batch.Close())
	}
	st.commits.Or(1)
	if err := st.store.commit("write state", batch, pebble.NoSync); err != nil {
		return err
	}
	st.head.Store(&h)
	st.commits.Add(1)
	return nil
}

// get returns a copy of a value. It panics when the store cannot be read: a
// node that cannot read its own state must not go on.
func get(s *Store, r pebble.Reader, key []byte) ([]byte, bool) {
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false
	}
	if err != nil {
		panic(s.failRead("state", keys.ShardOf(key), fmt.Errorf("read state: %w", err)))
	}
	v = bytes.Clone(v)
	// Pebble answers a damaged blob by an empty value, and tells so here.
	if err := closer.Close(); err != nil {
		panic(s.failRead("state", keys.ShardOf(key), fmt.Errorf("read state: %w", err)))
	}
	return v, true
}

// scan calls f for the keys of a kind in [lo, hi), without their prefix, until
// it returns false. It panics as get does.
func scan(s *Store, r pebble.Reader, from, to []byte, f func(key, value []byte) bool) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		panic(s.fail(fmt.Errorf("read state: %w", err)))
	}
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			panic(s.failRead("state", keys.ShardOf(from), errors.Join(fmt.Errorf("read state: %w", err), it.Close())))
		}
		if !f(it.Key()[keys.PrefixLen:], v) {
			break
		}
	}
	if err := it.Close(); err != nil {
		panic(s.failRead("state", keys.ShardOf(from), fmt.Errorf("read state: %w", err)))
	}
}

// Update is one batch of effects: it reads its own writes. It is used by one
// goroutine and ends with Commit or Discard.
type Update struct {
	state *State
	batch *pebble.Batch
	key   []byte // scratch
}

// Update begins a batch.
func (st *State) Update() *Update {
	return &Update{state: st, batch: st.store.state.NewIndexedBatch(), key: make([]byte, 0, 128)}
}

// full is the key with its prefix; it is valid until the next call.
func (u *Update) full(key []byte) []byte {
	u.key = keys.Append(u.key[:0], u.state.shard, keys.Shared, key)
	return u.key
}

// Get reads a key of the shard; the value may be kept.
func (u *Update) Get(key []byte) ([]byte, bool) {
	return get(u.state.store, u.batch, u.full(key))
}

// Scan reads the keys in [lo, hi), ascending; a nil hi stands for the end of
// the shard. f sees what the batch was when Scan was called and may change it.
func (u *Update) Scan(lo, hi []byte, f func(key, value []byte) bool) {
	from, to := keys.Bounds(u.state.shard, keys.Shared, lo, hi)
	scan(u.state.store, u.batch, from, to, f)
}

// Set sets a key.
func (u *Update) Set(key, value []byte) {
	op := u.batch.SetDeferred(keys.PrefixLen+len(key), len(value))
	copy(op.Key, u.full(key))
	copy(op.Value, value)
	u.must(op.Finish())
}

// Delete deletes a key.
func (u *Update) Delete(key []byte) { u.must(u.batch.Delete(u.full(key), nil)) }

// DeleteRange deletes the keys in [lo, hi); a nil hi stands for the end of the
// shard.
func (u *Update) DeleteRange(lo, hi []byte) {
	from, to := keys.Bounds(u.state.shard, keys.Shared, lo, hi)
	if bytes.Compare(from, to) < 0 {
		u.must(u.batch.DeleteRange(from, to, nil))
	}
}

// must stops on what a batch in memory cannot fail with.
func (u *Update) must(err error) {
	if err != nil {
		panic(u.state.store.fail(fmt.Errorf("write state: %w", err)))
	}
}

// Len is about the bytes of the batch: one that grows beyond a few MiB should
// be committed.
func (u *Update) Len() int { return u.batch.Len() }

// Commit makes the batch visible together with the applied index and term and
// the running digest (PROTOCOL 23): chain is the digest after the last entry.
// On a dead store, or when the shard was dropped, it has no effect. It panics when the index goes back, for
// then the caller does not apply in log order.
func (u *Update) Commit(index, term uint64, chain [32]byte) {
	st := u.state
	st.mu.Lock()
	defer st.mu.Unlock()
	h := *st.head.Load()
	if index < h.applied {
		panic(fmt.Sprintf("store: shard %d: entry %d is committed after %d", st.shard, index, h.applied))
	}
	h.applied, h.term, h.chain = index, term, chain
	batch := u.batch
	u.batch = nil
	// An error needs no answer here: the store is dead, so no entry can be
	// acknowledged any more, and the log has what this batch was to hold.
	_ = st.commitLocked(batch, h)
}

// Discard gives the batch up; after Commit it does nothing.
func (u *Update) Discard() {
	if u.batch != nil {
		_ = u.batch.Close()
		u.batch = nil
	}
}
