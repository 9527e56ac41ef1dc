package store

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"quorumta/cluster/store/snapshot"
	"quorumta/cluster/store/stream"
)

// Snapshots is one shard's raft.SnapshotStore, of two kinds: a marker is local
// and has no data, since the state itself is durable up to it; a received one
// came from another member and keeps its data until it is restored. Only the
// newest is kept.
type Snapshots struct {
	store *Store
	shard uint16
	state *State

	mu  sync.Mutex // guards dir
	dir *snapshot.Dir
}

var _ raft.SnapshotStore = (*Snapshots)(nil)

// Snapshots opens the snapshots of a shard and removes what a crash has left
// half-done. It fails with ErrLineage when the state is not the one that a
// marker speaks of, and with ErrDamaged when a snapshot is
// damaged or missing. An earlier Snapshots of the shard must not be used any more.
func (s *Store) Snapshots(shard uint16, state *State) (*Snapshots, error) {
	n, err := s.openSnapshots(shard, state)
	if err != nil {
		return nil, err
	}
	l := n.dir.Newest()
	switch {
	case l == nil:
		return n, n.nothingLost()
	case n.pending(l):
		return n, nil
	case l.Kind == snapshot.Received: // restored, but the crash came before Restored
		return n, n.Restored(l.ID())
	case !state.Restoring() && state.Lineage() != l.Lineage:
		return nil, fmt.Errorf("open snapshots of shard %d: %w", shard, ErrLineage)
	}
	return n, nil
}

func (s *Store) openSnapshots(shard uint16, state *State) (*Snapshots, error) {
	dir, err := snapshot.Open(s.o.FS, s.path("snapshots", strconv.Itoa(int(shard))))
	if errors.Is(err, snapshot.ErrDamaged) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open snapshots of shard %d: %w", shard, err)
	}
	return &Snapshots{store: s, shard: shard, state: state, dir: dir}, nil
}

// nothingLost fails where there must be a snapshot, and is none: a log is cut only
// behind one, and a state that came from elsewhere came with one.
func (s *Snapshots) nothingLost() error {
	if s.state.Lineage() != [16]byte{} {
		return fmt.Errorf("open snapshots of shard %d: %w", s.shard, ErrUnfounded)
	}
	l, err := s.store.Log(s.shard)
	if err != nil {
		return err
	}
	if first, _ := l.FirstIndex(); first > 1 {
		return fmt.Errorf("open snapshots of shard %d: the log begins at entry %d, and the snapshot before it is missing from %s: %w",
			s.shard, first, s.store.path("snapshots", strconv.Itoa(int(s.shard))), ErrDamaged)
	}
	return nil
}

// pending reports whether the label is of a received snapshot that the state
// does not have yet.
func (s *Snapshots) pending(l *snapshot.Label) bool {
	if l.Kind != snapshot.Received {
		return false
	}
	applied, _ := s.state.Applied()
	return s.state.Restoring() || l.Index > applied || s.state.Lineage() != l.Lineage
}

// current is the newest label; nil if there is none.
func (s *Snapshots) current() *snapshot.Label {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dir.Newest()
}

// Create implements raft.SnapshotStore. The sink becomes a marker if nothing is
// written to it before Close, which the state must be durable for: RaiseApplied
// and FlushState come first. Otherwise it becomes a received snapshot, whose
// stream is verified while it is written.
func (s *Snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	if version != 1 {
		return nil, fmt.Errorf("snapshot version %d is not known", version)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &sink{snapshots: s, label: &snapshot.Label{
		Seq:         s.dir.Next(),
		Kind:        snapshot.Marker,
		Version:     version,
		Index:       index,
		Term:        term,
		Config:      configuration.Clone(),
		ConfigIndex: configurationIndex,
	}}, nil
}

// List implements raft.SnapshotStore: the newest, if there is one. The size of
// a marker is known only to Open.
func (s *Snapshots) List() ([]*raft.SnapshotMeta, error) {
	l := s.current()
	if l == nil {
		return nil, nil
	}
	return []*raft.SnapshotMeta{l.Meta()}, nil
}

// Open implements raft.SnapshotStore. For a marker it streams the state as it
// is now, which may be newer than the label: replay skips what is at or below
// applied (PROTOCOL 5). The size is exact. The reader must be closed; it pins
// what the state deletes meanwhile.
func (s *Snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	l := s.current()
	if l == nil || l.ID() != id {
		return nil, nil, fmt.Errorf("shard %d has no snapshot %s", s.shard, id)
	}
	meta := l.Meta()
	if l.Kind == snapshot.Received {
		f, err := s.dir.OpenData(id)
		if err != nil {
			return nil, nil, fmt.Errorf("open snapshot: %w", err)
		}
		return meta, f, nil
	}
	view := s.state.View()
	size, err := view.Size()
	if applied, _ := view.Applied(); err == nil && applied < l.Index {
		err = fmt.Errorf("the state of shard %d has applied %d, which is behind its marker %d", s.shard, applied, l.Index)
	}
	if err != nil {
		view.Close()
		return nil, nil, fmt.Errorf("open snapshot: %w", err)
	}
	meta.Size = size
	return meta, stream.Live(view), nil
}

// Incoming is where a snapshot is fetched to before it is installed (package
// transfer). What is there outlives a restart.
func (s *Snapshots) Incoming() (vfs.FS, string) { return s.store.o.FS, s.dir.Incoming() }

// Received is the newest received snapshot that was not restored yet, if its
// label is above what the state has applied or a restore was cut off.
func (s *Snapshots) Received() (id string, index, term uint64, ok bool) {
	l := s.current()
	if l == nil || !s.pending(l) {
		return "", 0, 0, false
	}
	return l.ID(), l.Index, l.Term, true
}

// HasData reports whether the newest snapshot is the named one and was
// received, and its data are still here: it may be restored, whatever the state
// has applied. A leader that missed the answer sends it once more.
func (s *Snapshots) HasData(id string) bool {
	l := s.current()
	return l != nil && l.ID() == id && l.Kind == snapshot.Received
}

// Restored says that a received snapshot is in the state: it becomes a marker,
// and its data goes.
func (s *Snapshots) Restored(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.dir.Newest()
	switch {
	case l == nil || l.ID() != id:
		return fmt.Errorf("shard %d has no snapshot %s", s.shard, id)
	case l.Kind == snapshot.Marker:
		return nil
	case s.pending(l) || s.state.Durable() < l.Index:
		return fmt.Errorf("shard %d: snapshot %s is not in the state", s.shard, id)
	}
	m := *l
	m.Kind, m.Size = snapshot.Marker, 0
	return s.keepLocked(&m)
}

// Label is index and term of the newest snapshot; zeros if there is none.
func (s *Snapshots) Label() (index, term uint64) {
	l := s.current()
	if l == nil {
		return 0, 0
	}
	return l.Index, l.Term
}

// keep makes the label the newest, durably. A marker behind the newest label
// says nothing new: a snapshot was received while it was made.
func (s *Snapshots) keep(l *snapshot.Label) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.dir.Newest()
	if old != nil && l.Kind == snapshot.Marker && (old.Index > l.Index || s.pending(old)) {
		return nil
	}
	return s.keepLocked(l)
}

func (s *Snapshots) keepLocked(l *snapshot.Label) error {
	left, err := s.dir.Keep(l)
	if err != nil {
		return s.store.fail(err)
	}
	if left != nil {
		s.store.o.Log.Warn("an old snapshot was left until the next start", "shard", s.shard, "err", left)
	}
	return nil
}
