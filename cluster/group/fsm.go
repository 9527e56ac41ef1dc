package group

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group/fetch"
	"quorumta/cluster/group/marks"
	"quorumta/cluster/store"
)

// fsm folds committed entries: the effects of a batch, the applied index and
// the running digest reach the state together.
type fsm struct {
	machine Machine
	state   *store.State
	o       Options
	log     *slog.Logger
	metrics *instruments
	marks   *marks.Marks

	// broken says that the fold has panicked or a restore has failed: nothing
	// is applied any more, and the group stops.
	broken chan error
	failed atomic.Bool

	epoch time.Time    // what since counts from
	since atomic.Int64 // when the fold under way began; 0 while none is

	// newest is the newest committed configuration that came in an entry.
	newest atomic.Pointer[configuration]

	mu sync.Mutex // held by whoever moves the applied index
}

var (
	_ raft.FSM         = (*fsm)(nil)
	_ raft.BatchingFSM = (*fsm)(nil)
)

func newFSM(o Options, m *instruments) *fsm {
	return &fsm{
		o:       o,
		machine: o.Machine,
		state:   o.State,
		log:     o.Log.With("shard", o.Shard),
		metrics: m,
		marks:   marks.New(),
		broken:  make(chan error, 1),
		epoch:   time.Now(),
	}
}

// folded is what the proposer of an entry gets.
type folded struct {
	results []Result
	index   uint64
}

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. The answer for an entry is a folded,
// or nil where it was not folded.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	answers := make([]any, len(logs))
	f.noteConfigurations(logs)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed.Load() {
		return answers
	}
	start := time.Now()
	f.since.Store(max(int64(start.Sub(f.epoch)), 1))
	defer f.since.Store(0)
	if err := f.fold(logs, answers); err != nil {
		f.fail(err)
		clear(answers)
	}
	f.metrics.applied(time.Since(start), len(logs))
	return answers
}

// age is how long the fold under way has taken.
func (f *fsm) age() time.Duration {
	since := f.since.Load()
	if since == 0 {
		return 0
	}
	return time.Since(f.epoch) - time.Duration(since)
}

// fail stops the shard, not the node (PROTOCOL 22).
func (f *fsm) fail(err error) {
	if f.failed.CompareAndSwap(false, true) {
		f.broken <- err
	}
}

// fold applies a batch as one update. The entries that end it are marks, for
// which the state is looked at exactly where they stand.
func (f *fsm) fold(logs []*raft.Log, answers []any) (err error) {
	u := f.state.Update()
	at := logs[0]
	defer func() {
		if p := recover(); p != nil {
			u.Discard()
			err = f.poisoned(at, p)
		}
	}()
	applied, term := f.state.Applied()
	chain := f.state.Chain()
	pending := false
	for i, l := range logs {
		if l.Index <= applied {
			continue // replayed: its effects are in the state
		}
		at, applied, term, pending = l, l.Index, l.Term, true
		switch mark, marked := marks.In(l); {
		case marked:
			u.Commit(applied, term, chain)
			f.marks.Note(mark, applied, chain, func() marks.View { return f.state.View() })
			u, pending = f.state.Update(), false
		case l.Type == raft.LogCommand:
			results := f.apply(u, Entry{Index: l.Index, Term: l.Term, Data: l.Data})
			chain = link(chain, l, results)
			answers[i] = folded{results, l.Index}
		}
	}
	if !pending {
		u.Discard()
		return nil
	}
	u.Commit(applied, term, chain)
	return nil
}

// link is the running digest after an entry (PROTOCOL 23): SHA-256 of the
// digest before, SHA-256 of (index, term, data), and the results.
func link(chain [32]byte, l *raft.Log, results []Result) [32]byte {
	var head [16]byte
	binary.BigEndian.PutUint64(head[:8], l.Index)
	binary.BigEndian.PutUint64(head[8:], l.Term)
	entry := sha256.New()
	entry.Write(head[:])
	entry.Write(l.Data)
	next := append(chain[:], entry.Sum(nil)...)
	for _, r := range results {
		next = append(next, byte(r))
	}
	return sha256.Sum256(next)
}

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.failed.Load() {
		return nil, errors.New("the shard has stopped")
	}
	return marker{f}, nil
}

// Restore implements raft.FSM: a snapshot was received from another member.
func (f *fsm) Restore(r io.ReadCloser) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.state.Restore(r); err != nil {
		err = fmt.Errorf("restore a received snapshot: %w", err)
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

// marker is a local snapshot: no data, since the state itself is durable.
type marker struct{ fsm *fsm }

// Persist implements raft.FSMSnapshot. A barrier or a no-op can label a
// snapshot beyond the applied index, which is raised to the label first
// (PROTOCOL 1); the state must be durable before the log is cut.
func (m marker) Persist(sink raft.SnapshotSink) error {
	s, ok := sink.(*fetch.Sink)
	if !ok {
		return fmt.Errorf("snapshot sink %T has no label", sink)
	}
	m.fsm.mu.Lock()
	err := m.fsm.state.RaiseApplied(s.Index, s.Term)
	m.fsm.mu.Unlock()
	if err != nil {
		return err
	}
	return m.fsm.o.Flush()
}

// Release implements raft.FSMSnapshot.
func (marker) Release() {}
