package fold

import (
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"quorumta/cluster/store"
)

// Snapshot implements raft.FSM.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	if f.failed.Load() {
		return nil, errors.New("the shard has stopped")
	}
	return marker{f}, nil
}

// Restore implements raft.FSM: a snapshot was received from another member.
func (f *FSM) Restore(r io.ReadCloser) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.Replaced()
	if err := f.o.State.Restore(r); err != nil {
		err = Unrestorable(fmt.Errorf("restore a received snapshot: %w", err))
		f.fail(err)
		return err
	}
	// Its data is of no use any more, and as large as the state.
	if labels, err := f.o.Snapshots.List(); err == nil && len(labels) > 0 {
		if err := f.o.Snapshots.Restored(labels[0].ID); err != nil {
			f.log.Warn("the data of a restored snapshot stays until the next start", "err", err)
		}
	}
	return nil
}

// Replaced tells the machine that the state is not the one that it knew. Nothing
// may be applied meanwhile.
func (f *FSM) Replaced() {
	if m, ok := f.o.Machine.(Restorer); ok {
		m.Restored()
	}
}

// Unrestorable is what a restore failed with, as store.ErrDamaged where trying
// again would not help: what was received is bad or gone, and the state that it
// was to replace may be gone too.
func Unrestorable(err error) error {
	for _, other := range []error{store.ErrDamaged, store.ErrDead, store.ErrDropped, store.ErrForeign} {
		if errors.Is(err, other) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", store.ErrDamaged, err)
}

// marker is a local snapshot: no data, since the state itself is durable.
type marker struct{ fsm *FSM }

// Persist implements raft.FSMSnapshot. A barrier or a no-op can label a
// snapshot beyond the applied index, which is raised to the label first
// (PROTOCOL 1); the state must be durable before the log is cut.
func (m marker) Persist(sink raft.SnapshotSink) error {
	s, ok := sink.(Labelled)
	if !ok {
		return fmt.Errorf("snapshot sink %T has no label", sink)
	}
	index, term := s.Label()
	m.fsm.mu.Lock()
	err := m.fsm.o.State.RaiseApplied(index, term)
	m.fsm.mu.Unlock()
	if err != nil {
		return err
	}
	return m.fsm.o.Flush()
}

// Release implements raft.FSMSnapshot.
func (marker) Release() {}
