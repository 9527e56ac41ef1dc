package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/cockroachdb/pebble/v2"
)

// View is a consistent, read-only view of a state. Close it soon: it keeps
// what is deleted meanwhile on disk. It may be read from several goroutines.
type View struct {
	store *Store
	shard uint16
	snap  *pebble.Snapshot // nil: the state was being restored; the view is empty
	head  head
}

// View opens a view of the state as it is now, with what it has applied. While
// a Restore is under way, or after one that was cut off, the view is empty and
// has applied nothing.
func (st *State) View() *View {
	v := &View{store: st.store, shard: st.shard, snap: st.store.state.NewSnapshot()}
	h, err := readHead(st.store, v.snap, st.shard)
	switch {
	case err != nil:
		panic(st.store.fail(err))
	case h == nil: // new
		h = &head{cluster: st.head.Load().cluster}
	case h.restoring:
		v.Close()
		h = &head{cluster: h.cluster}
	}
	v.head = *h
	return v
}

// Get reads a key of the shard; the value may be kept.
func (v *View) Get(key []byte) ([]byte, bool) {
	if v.snap == nil {
		return nil, false
	}
	return get(v.store, v.snap, nameKey(v.shard, kindShared, key))
}

// Scan reads the keys in [lo, hi), ascending; a nil hi stands for the end of
// the shard.
func (v *View) Scan(lo, hi []byte, f func(key, value []byte) bool) {
	if v.snap == nil {
		return
	}
	from, to := bounds(v.shard, kindShared, lo, hi)
	scan(v.store, v.snap, from, to, f)
}

// Applied is the index and term of the view.
func (v *View) Applied() (index, term uint64) { return v.head.applied, v.head.term }

// Chain is the running digest of the view.
func (v *View) Chain() [32]byte { return v.head.chain }

// SHA256 is the digest of the replicated pairs, in order, without keys that
// are the node's own. Each pair enters as the lengths of key and value, 4 bytes
// big-endian each, then both.
func (v *View) SHA256() [32]byte {
	d := newDigest()
	v.Scan(nil, nil, func(key, value []byte) bool {
		d.add(key, value)
		return true
	})
	return d.sum()
}

// Close ends the view.
func (v *View) Close() {
	if v.snap == nil {
		return
	}
	if err := v.snap.Close(); err != nil {
		_ = v.store.fail(fmt.Errorf("close view: %w", err))
	}
	v.snap = nil
}

// digest sums pairs up; the zero value is not one.
type digest struct {
	hash    hash.Hash
	lengths [8]byte
}

func newDigest() *digest { return &digest{hash: sha256.New()} }

func (d *digest) add(key, value []byte) {
	binary.BigEndian.PutUint32(d.lengths[:4], uint32(len(key)))
	binary.BigEndian.PutUint32(d.lengths[4:], uint32(len(value)))
	_, _ = d.hash.Write(d.lengths[:]) // a hash never fails
	_, _ = d.hash.Write(key)
	_, _ = d.hash.Write(value)
}

func (d *digest) sum() [32]byte { return [32]byte(d.hash.Sum(nil)) }
