package store

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// Snapshots is one shard's raft.SnapshotStore, of two kinds: a marker is local
// and has no data, since the state itself is durable up to it; a received one
// came from another member and keeps its data until it is restored. Only the
// newest is kept.
type Snapshots struct {
	store *Store
	shard uint16
	state *State
	dir   string

	mu     sync.Mutex // guards the rest, and the labels on disk
	seq    uint64
	newest *label // nil: none; never changed in place
}

var _ raft.SnapshotStore = (*Snapshots)(nil)

// Snapshots opens the snapshots of a shard and removes what a crash has left
// half-done. It fails with ErrLineage when the state is not the one that a
// marker speaks of.
func (s *Store) Snapshots(shard uint16, state *State) (*Snapshots, error) {
	n := &Snapshots{store: s, shard: shard, state: state, dir: s.path("snapshots", strconv.Itoa(int(shard)))}
	if err := s.o.FS.MkdirAll(n.dir, 0o700); err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	if err := errors.Join(s.syncDir(s.path("snapshots")), n.load()); err != nil {
		return nil, fmt.Errorf("open snapshots of shard %d: %w", shard, err)
	}
	l := n.newest
	switch {
	case l == nil || n.pending(l):
		return n, nil
	case l.kind == received: // restored, but the crash came before Restored
		return n, n.Restored(l.id())
	case !state.Restoring() && state.Lineage() != l.lineage:
		return nil, fmt.Errorf("open snapshots of shard %d: %w", shard, ErrLineage)
	}
	return n, nil
}

// load finds the newest label and removes every other file.
func (s *Snapshots) load() error {
	fs := s.store.o.FS
	names, err := fs.List(s.dir)
	if err != nil {
		return err
	}
	keep := ""
	for _, name := range names {
		id, ok := strings.CutSuffix(name, labelSuffix)
		if ok && id > keep {
			keep = id
		}
	}
	if keep != "" {
		l, err := readLabel(fs, s.path(keep+labelSuffix))
		if err != nil {
			return fmt.Errorf("%s: %w; let the replica rejoin as new", s.path(keep+labelSuffix), err)
		}
		hex, _, _ := strings.Cut(keep, "-")
		if l.seq, err = strconv.ParseUint(hex, 16, 64); err != nil || l.id() != keep {
			return fmt.Errorf("%s: the label is not that of the name; let the replica rejoin as new", s.path(keep+labelSuffix))
		}
		s.newest, s.seq = l, l.seq
	}
	for _, name := range names {
		if name == keep+labelSuffix || name == keep+dataSuffix && s.newest != nil && s.newest.kind == received {
			continue
		}
		if err := fs.Remove(s.path(name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Snapshots) path(name string) string { return s.store.o.FS.PathJoin(s.dir, name) }

// pending reports whether the label is of a received snapshot that the state
// does not have yet.
func (s *Snapshots) pending(l *label) bool {
	if l.kind != received {
		return false
	}
	applied, _ := s.state.Applied()
	return s.state.Restoring() || l.index > applied || s.state.Lineage() != l.lineage
}

// current is the newest label; nil if there is none.
func (s *Snapshots) current() *label {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
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
	s.seq++
	return &sink{snapshots: s, label: &label{
		seq:         s.seq,
		kind:        marker,
		version:     version,
		index:       index,
		term:        term,
		config:      configuration.Clone(),
		configIndex: configurationIndex,
	}}, nil
}

// List implements raft.SnapshotStore: the newest, if there is one. The size of
// a marker is known only to Open.
func (s *Snapshots) List() ([]*raft.SnapshotMeta, error) {
	l := s.current()
	if l == nil {
		return nil, nil
	}
	return []*raft.SnapshotMeta{l.meta()}, nil
}

// Open implements raft.SnapshotStore. For a marker it streams the state as it
// is now, which may be newer than the label: replay skips what is at or below
// applied (PROTOCOL 5). The size is exact. The reader must be closed; it pins
// what the state deletes meanwhile.
func (s *Snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	l := s.current()
	if l == nil || l.id() != id {
		return nil, nil, fmt.Errorf("shard %d has no snapshot %s", s.shard, id)
	}
	meta := l.meta()
	if l.kind == received {
		f, err := s.store.o.FS.Open(s.path(id+dataSuffix), vfs.SequentialReadsOption)
		if err != nil {
			return nil, nil, fmt.Errorf("open snapshot: %w", err)
		}
		return meta, f, nil
	}
	view := s.state.View()
	size, err := view.Size()
	if applied, _ := view.Applied(); err == nil && applied < l.index {
		err = fmt.Errorf("the state of shard %d has applied %d, which is behind its marker %d", s.shard, applied, l.index)
	}
	if err != nil {
		view.Close()
		return nil, nil, fmt.Errorf("open snapshot: %w", err)
	}
	meta.Size = size
	return meta, newLive(view), nil
}

// live is a stream of a view that is written while it is read.
type live struct {
	*io.PipeReader
	done chan struct{}
}

func newLive(view *View) *live {
	r, w := io.Pipe()
	l := &live{PipeReader: r, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		defer view.Close()
		_, err := view.WriteTo(w)
		w.CloseWithError(err)
	}()
	return l
}

// Close ends the writing.
func (l *live) Close() error {
	err := l.PipeReader.Close()
	<-l.done
	return err
}

// Received is the newest received snapshot that was not restored yet, if its
// label is above what the state has applied or a restore was cut off.
func (s *Snapshots) Received() (id string, index, term uint64, ok bool) {
	l := s.current()
	if l == nil || !s.pending(l) {
		return "", 0, 0, false
	}
	return l.id(), l.index, l.term, true
}

// Restored says that a received snapshot is in the state: it becomes a marker,
// and its data goes.
func (s *Snapshots) Restored(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.newest
	switch {
	case l == nil || l.id() != id:
		return fmt.Errorf("shard %d has no snapshot %s", s.shard, id)
	case l.kind == marker:
		return nil
	case s.pending(l) || s.state.Durable() < l.index:
		return fmt.Errorf("shard %d: snapshot %s is not in the state", s.shard, id)
	}
	m := *l
	m.kind, m.size = marker, 0
	if err := s.writeLabel(&m); err != nil {
		return s.store.fail(fmt.Errorf("write snapshot label: %w", err))
	}
	s.newest = &m
	if err := s.store.o.FS.Remove(s.path(id + dataSuffix)); err != nil {
		s.store.o.Log.Warn("a restored snapshot was left", "shard", s.shard, "err", err)
	}
	return nil
}

// Label is index and term of the newest snapshot; zeros if there is none.
func (s *Snapshots) Label() (index, term uint64) {
	l := s.current()
	if l == nil {
		return 0, 0
	}
	return l.index, l.term
}

// keep makes the label the newest, durably, and removes what it replaces. A
// marker behind the newest label says nothing new: a snapshot was received
// while it was made.
func (s *Snapshots) keep(l *label) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.newest
	if old != nil && l.kind == marker && (old.index > l.index || s.pending(old)) {
		return nil
	}
	if err := s.writeLabel(l); err != nil {
		return s.store.fail(fmt.Errorf("write snapshot label: %w", err))
	}
	s.newest = l
	if old == nil {
		return nil
	}
	suffixes := []string{labelSuffix}
	if old.kind == received {
		suffixes = append(suffixes, dataSuffix)
	}
	for _, suffix := range suffixes {
		if err := s.store.o.FS.Remove(s.path(old.id() + suffix)); err != nil {
			s.store.o.Log.Warn("an old snapshot was left", "shard", s.shard, "err", err)
		}
	}
	return nil
}
