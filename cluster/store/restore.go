package store

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"quorumta/cluster/store/keys"
	"quorumta/cluster/store/stream"
)

// restoreBatch is about how many bytes of pairs are committed at once.
const restoreBatch = 1 << 20

// Restore replaces the state by a snapshot stream. It first makes "restoring"
// durable and removes it last, together with the new applied index (PROTOCOL
// 3); the whole is durable when it returns. A stream of the same lineage that
// has applied no more than the state is verified and left: the state has all of
// it. A stream that is not whole is stream.ErrBad, one of another shard
// ErrForeign. On an error after the header the state may be "restoring", and another
// Restore is the only way on. No Update may be open.
func (st *State) Restore(r io.Reader) error {
	err := st.restore(stream.NewReader(r))
	if err == nil {
		return nil
	}
	if f, ok := r.(interface{ Name() string }); ok && errors.Is(err, stream.ErrBad) {
		err = fmt.Errorf("%w: %s: %w", ErrDamaged, f.Name(), err)
	}
	return fmt.Errorf("restore shard %d: %w", st.shard, err)
}

func (st *State) restore(in *stream.Reader) error {
	h, err := in.Header()
	if err != nil {
		return err
	}
	if err := st.foreign(h); err != nil {
		return err
	}
	old := *st.head.Load()
	if !old.restoring && h.Lineage == old.lineage && h.Applied <= old.applied {
		if err := in.Verify(); err != nil {
			return err
		}
		return st.store.FlushState()
	}
	return st.replace(in, head{cluster: h.Cluster, lineage: h.Lineage, applied: h.Applied, term: h.Term, chain: h.Chain})
}

// replace replaces the state by the rest of the stream and gives it the head.
func (st *State) replace(in *stream.Reader, now head) error {
	if err := st.beginRestore(*st.head.Load()); err != nil {
		return err
	}
	if err := st.fill(in); err != nil {
		return err
	}
	return st.endRestore(now)
}

// foreign fails with ErrForeign if the stream is not of this shard.
func (st *State) foreign(h stream.Header) error {
	if cluster := st.head.Load().cluster; h.Shard != st.shard || h.Cluster != cluster {
		return fmt.Errorf("a stream of shard %d, cluster %q for shard %d, cluster %q: %w", h.Shard, h.Cluster, st.shard, cluster, ErrForeign)
	}
	return nil
}

// beginRestore empties the state and marks it, durably.
func (st *State) beginRestore(old head) error {
	batch := st.store.state.NewBatch()
	from, to := keys.Bounds(st.shard, keys.Shared, nil, nil)
	err := errors.Join(
		batch.Set(keys.Name(st.shard, keys.Local, []byte(restoringName)), nil, nil),
		batch.DeleteRange(from, to, nil))
	if err != nil {
		return errors.Join(err, batch.Close())
	}
	st.mu.Lock()
	err = st.commitLocked(batch, head{restoring: true, era: old.era + 1, cluster: old.cluster, lineage: old.lineage})
	st.mu.Unlock()
	if err != nil {
		return err
	}
	st.store.mu.Lock()
	st.durable = 0
	st.store.mu.Unlock()
	return st.store.FlushState()
}

// fill writes the pairs of the stream.
func (st *State) fill(in *stream.Reader) error {
	var batch *pebble.Batch
	commit := func() error {
		if batch == nil {
			return nil
		}
		b := batch
		batch = nil
		if st.gone.Load() {
			return errors.Join(ErrDropped, b.Close())
		}
		return st.store.commit("restore state", b, pebble.NoSync)
	}
	err := in.Body(func(key, value []byte) error {
		if batch == nil {
			batch = st.store.state.NewBatchWithSize(restoreBatch + len(value) + 4096)
		}
		if err := batch.Set(keys.Name(st.shard, keys.Shared, key), value, nil); err != nil {
			return err
		}
		if batch.Len() < restoreBatch {
			return nil
		}
		return commit()
	})
	if err != nil && batch != nil {
		return errors.Join(err, batch.Close())
	}
	return errors.Join(err, commit())
}

// endRestore gives the state its new head, durably.
func (st *State) endRestore(now head) error {
	batch := st.store.state.NewBatch()
	if err := batch.Delete(keys.Name(st.shard, keys.Local, []byte(restoringName)), nil); err != nil {
		return errors.Join(err, batch.Close())
	}
	st.mu.Lock()
	now.era = st.head.Load().era
	err := st.commitLocked(batch, now)
	st.mu.Unlock()
	if err != nil {
		return err
	}
	return st.store.FlushState()
}
