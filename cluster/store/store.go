package store

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster/store/ballast"
	"quorumta/cluster/store/mark"
	"quorumta/cluster/store/raftlog"
)

var (
	// ErrDead: a write, sync or read of this store has failed before. Stop the
	// process; its data is judged anew when it starts.
	ErrDead = errors.New("the store has failed; restart the node")
	// ErrForeign: the data belongs to another cluster or shard. Give the node
	// its own data directory.
	ErrForeign = errors.New("the data directory belongs to another cluster or shard")
	// ErrLineage: the state and its snapshot come from different histories of
	// the shard. Remove the replica's data and let it rejoin as new.
	ErrLineage = errors.New("the state is of another lineage than its snapshot; let the replica rejoin as new")
)

// recentShare is the part of Options.MemoryBytes that recent entries get; the rest
// is for the Pebbles (package tuning), whose cache has at least minCache bytes.
const (
	recentShare = 8
	minCache    = 1 << 20
)

// Options says where and how the store lives; every field but Ballast is needed.
type Options struct {
	// Dir is the data directory; "log", "state", "snapshots" and "marks" are
	// made in it.
	Dir string
	FS  vfs.FS
	// MemoryBytes bounds memtables and caches of both Pebbles and the recent
	// entries that the logs keep decoded.
	MemoryBytes int64
	// Ballast is how many bytes of disk are kept for the moment at which it is
	// full, so that outcomes are recorded beyond it; 0 keeps none.
	Ballast int64
	Log     *slog.Logger
	// Fatal is called once, when a write, a sync or a read of our own data has
	// failed. Locks of the store are held during the call, so it must not call
	// the store. The process should end there; where it does not (a test), the
	// store refuses every write from then on and Close still works.
	Fatal func(error)
}

// Store is the pair of Pebbles of one node. Its methods may be called from any
// goroutine; Close comes after every other call has returned.
type Store struct {
	o     Options
	cache *pebble.Cache
	log   *pebble.DB
	state *pebble.DB
	marks *mark.File // of the logs
	files *mark.File // of the Pebbles' own files

	cause  atomic.Pointer[error] // why the store is dead; nil while it lives
	dead   chan struct{}         // closed when cause is set
	wedged atomic.Bool           // a commit panicked; Pebble keeps its lock
	stalls atomic.Int64
	recent int64 // bytes of decoded entries that all logs keep together

	ballast *ballast.Ballast

	opened
}

// opened is what has been asked for.
type opened struct {
	mu       sync.Mutex // guards states and logs
	states   map[uint16]*State
	logs     map[uint16]*Log
	logCount atomic.Int64
}

// Open opens or makes the store. An error names the damaged file where Pebble
// tells it.
func Open(o Options) (*Store, error) {
	s := &Store{
		o:      o,
		dead:   make(chan struct{}),
		recent: o.MemoryBytes / recentShare,
		opened: opened{states: map[uint16]*State{}, logs: map[uint16]*Log{}},
	}
	for _, dir := range []string{"log", "state", "snapshots", "marks", "damaged"} {
		if err := o.FS.MkdirAll(s.path(dir), 0o700); err != nil {
			return nil, fmt.Errorf("make data directory: %w", err)
		}
	}
	if err := errors.Join(s.syncDir(o.Dir), s.syncDir(o.FS.PathDir(o.Dir))); err != nil {
		return nil, err
	}
	var err error
	s.ballast, err = ballast.Open(ballast.Options{FS: o.FS, Path: s.path("ballast"), Bytes: o.Ballast, Log: o.Log})
	if err != nil {
		return nil, err
	}
	s.o.FS = s.ballast.FS()
	s.cache = pebble.NewCache(max(o.MemoryBytes-s.recent, minCache))
	defer s.cache.Unref() // the Pebbles hold their own references
	if err := s.openPebbles(); err != nil {
		return nil, errors.Join(err, s.closePebbles())
	}
	path := s.path("marks", "marks")
	if s.marks, err = mark.Open(mark.Options{FS: s.o.FS, Path: path, Log: o.Log, Fail: s.fail}); err != nil {
		return nil, errors.Join(err, s.closePebbles())
	}
	if err := s.syncDir(s.path("marks")); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close writes the marks, flushes the state and closes both Pebbles. Views and
// snapshot streams must be closed before.
func (s *Store) Close() error {
	err := s.marks.Close()
	if s.Err() == nil {
		err = errors.Join(err, s.FlushState())
	}
	return errors.Join(err, s.closePebbles())
}

// FlushState makes the states of all shards durable as they are now.
func (s *Store) FlushState() error {
	if err := s.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	before := make(map[*State]*head, len(s.states))
	for _, st := range s.states {
		before[st] = st.head.Load()
	}
	s.mu.Unlock()
	done, err := s.state.AsyncFlush()
	if err != nil {
		return s.fail(fmt.Errorf("flush state: %w", err))
	}
	select {
	case <-done:
	case <-s.dead:
		return s.Err()
	}
	if err := s.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for st, h := range before {
		// What was flushed says nothing of a state that is being replaced.
		if st.head.Load().era == h.era {
			st.durable = max(st.durable, h.applied)
		}
	}
	return nil
}

// Err is nil while the store lives, and wraps ErrDead and the cause afterwards.
func (s *Store) Err() error {
	if cause := s.cause.Load(); cause != nil {
		return fmt.Errorf("%w (%w)", ErrDead, *cause)
	}
	return nil
}

// fail marks the store dead and reports to Options.Fatal, both once. The
// marking comes first: whoever is woken by the failure already finds it dead.
func (s *Store) fail(err error) error {
	if s.cause.CompareAndSwap(nil, &err) {
		close(s.dead)
		s.o.Log.Error("storage failed; the node must stop", "err", err)
		s.o.Fatal(err)
	}
	return s.Err()
}

// commit commits a batch and closes it. Pebble's answer alone proves nothing:
// after a failed sync its logger's Fatalf was called and the commit "succeeds".
func (s *Store) commit(what string, b *pebble.Batch, o *pebble.WriteOptions) (err error) {
	defer b.Close()
	if err := s.Err(); err != nil {
		return err
	}
	// A commit that comes between a failed sync and its Fatalf panics.
	defer func() {
		if r := recover(); r != nil {
			s.wedged.Store(true)
			err = s.fail(fmt.Errorf("%s: %v", what, r))
		}
	}()
	if err := b.Commit(o); err != nil {
		return s.fail(fmt.Errorf("%s: %w", what, err))
	}
	return s.Err()
}

// Log is one shard's log, term and vote (package raftlog).
type Log = raftlog.Log

// Log opens the log of a shard. It fails with ErrDamaged where Damaged does. All
// calls for one shard return the same Log.
func (s *Store) Log(shard uint16) (*Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.logs[shard]; l != nil {
		return l, nil
	}
	if err := s.Damaged(shard); err != nil {
		return nil, err
	}
	l, err := raftlog.Open(shard, raftlog.Options{
		DB:     s.log,
		Commit: s.commit,
		Fail:   func(err error) error { return s.failRead("log", shard, err) },
		Recent: func() int64 { return s.recent / max(s.logCount.Load(), 1) },
	})
	if err != nil {
		return nil, err
	}
	s.logs[shard] = l
	s.logCount.Store(int64(len(s.logs)))
	return l, nil
}

// Mark is one shard's high-water mark (package mark, PROTOCOL 7).
type Mark = mark.Mark

// Mark opens the mark of a shard. It fails with ErrDamaged when a mark was there
// before and cannot be read, and with ErrForgotten when the log has lost a vote. All calls for one shard return the same Mark.
func (s *Store) Mark(shard uint16) (*Mark, error) {
	l, err := s.Log(shard)
	if err != nil {
		return nil, err
	}
	expected, err := l.Guarded()
	if err != nil {
		return nil, err
	}
	m, err := s.marks.Shard(shard, expected)
	if errors.Is(err, mark.ErrDamaged) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	if has, want := l.Ballots(), m.Ballots(); has < want {
		return nil, fmt.Errorf("shard %d: %d terms and votes were written, and %d are in %s: %w", shard, want, has, s.path("log"), ErrForgotten)
	}
	l.CountBallots(m.CountBallots)
	if expected {
		return m, nil
	}
	return m, l.Guard()
}

// path is a name in the data directory.
func (s *Store) path(names ...string) string {
	return s.o.FS.PathJoin(append([]string{s.o.Dir}, names...)...)
}

// syncDir makes the names in a directory durable.
func (s *Store) syncDir(dir string) error {
	d, err := s.o.FS.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
