package store

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"quorumta/cluster/store/keys"
	"quorumta/cluster/store/stream"
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
	snap, h, err := st.snapshot()
	v := &View{store: st.store, shard: st.shard, snap: snap}
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
	return get(v.store, v.snap, keys.Name(v.shard, keys.Shared, key))
}

// Scan reads the keys in [lo, hi), ascending; a nil hi stands for the end of
// the shard.
func (v *View) Scan(lo, hi []byte, f func(key, value []byte) bool) {
	if v.snap == nil {
		return
	}
	from, to := keys.Bounds(v.shard, keys.Shared, lo, hi)
	scan(v.store, v.snap, from, to, f)
}

// Applied is the index and term of the view.
func (v *View) Applied() (index, term uint64) { return v.head.applied, v.head.term }

// Chain is the running digest of the view.
func (v *View) Chain() [32]byte { return v.head.chain }

// header is what the stream of the view begins with.
func (v *View) header() stream.Header {
	return stream.Header{
		Cluster: v.head.cluster,
		Shard:   v.shard,
		Lineage: v.head.lineage,
		Applied: v.head.applied,
		Term:    v.head.term,
		Chain:   v.head.chain,
	}
}

// WriteTo writes the view as a snapshot stream (package stream). Size tells its
// exact length beforehand.
func (v *View) WriteTo(w io.Writer) (int64, error) {
	if v.snap == nil {
		return 0, fmt.Errorf("shard %d: the state is being restored", v.shard)
	}
	out := stream.NewWriter(w, v.header())
	err := v.pairs(out, nil)
	n, closing := out.Close()
	if err == nil {
		err = closing
	}
	if err != nil {
		return n, fmt.Errorf("write snapshot stream of shard %d: %w", v.shard, err)
	}
	return n, nil
}

// WriteFrames writes the stream's frames from the key that one begins with to the
// last, without the trailer (package transfer).
func (v *View) WriteFrames(w io.Writer, from []byte) error {
	if v.snap == nil {
		return fmt.Errorf("shard %d: the state is being restored", v.shard)
	}
	out := stream.Resume(w)
	if err := v.pairs(out, from); err != nil {
		return err
	}
	return out.Flush()
}

// pairs writes the pairs from the key on.
func (v *View) pairs(out *stream.Writer, from []byte) error {
	return v.walk(from, func(it *pebble.Iterator) error {
		value, err := it.ValueAndErr()
		if err != nil {
			return v.store.failRead("state", v.shard, fmt.Errorf("read state: %w", err))
		}
		return out.Pair(it.Key()[keys.PrefixLen:], value)
	})
}

// Size is the exact length of what WriteTo writes. It reads no large values.
func (v *View) Size() (int64, error) {
	size := stream.NewSizer(v.header())
	err := v.walk(nil, func(it *pebble.Iterator) error {
		value := it.LazyValue()
		size.Add(len(it.Key())-keys.PrefixLen, value.Len())
		return nil
	})
	return size.Total(), err
}

// walk calls f at each replicated key from the given one on.
func (v *View) walk(lo []byte, f func(*pebble.Iterator) error) error {
	if v.snap == nil {
		return nil
	}
	from, to := keys.Bounds(v.shard, keys.Shared, lo, nil)
	it, err := v.snap.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return v.store.fail(fmt.Errorf("read state: %w", err))
	}
	for ok := it.First(); ok; ok = it.Next() {
		if err := f(it); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	if err := it.Close(); err != nil {
		return v.store.failRead("state", v.shard, fmt.Errorf("read state: %w", err))
	}
	return nil
}

// SHA256 is the digest of the replicated pairs, in order, without keys that
// are the node's own: that of a snapshot stream.
func (v *View) SHA256() [32]byte {
	d := stream.NewDigest()
	v.Scan(nil, nil, func(key, value []byte) bool {
		d.Add(key, value)
		return true
	})
	return d.Sum()
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
