package store

import (
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/hashicorp/raft"
)

// options are those of a store in memory that must not fail.
func options(t testing.TB, fs vfs.FS) Options {
	return Options{
		Dir:         "data",
		FS:          fs,
		MemoryBytes: 8 << 20,
		Log:         slog.New(slog.DiscardHandler),
		Fatal:       func(err error) { t.Errorf("fatal: %v", err) },
	}
}

// open opens a store that the test closes; it may be closed before.
func open(t testing.TB, fs vfs.FS) *Store {
	t.Helper()
	return openWith(t, options(t, fs))
}

func openWith(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func shut(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func logOf(t testing.TB, s *Store) *Log {
	t.Helper()
	l, err := s.Log(1)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func stateOf(t testing.TB, s *Store) *State {
	t.Helper()
	st, err := s.State(1, "c1")
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// newEntry is an entry whose data tells its index and term.
func newEntry(index, term uint64, size int) *raft.Log {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(index*31 + term*7 + uint64(i))
	}
	return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: data}
}

func entries(first, last, term uint64, size int) []*raft.Log {
	var logs []*raft.Log
	for i := first; i <= last; i++ {
		logs = append(logs, newEntry(i, term, size))
	}
	return logs
}

func store(t testing.TB, l *Log, logs ...*raft.Log) {
	t.Helper()
	if err := l.StoreLogs(logs); err != nil {
		t.Fatal(err)
	}
}

// Memtables and cache stay within what they are given, however much is written.
func TestMemoryIsBounded(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	l, st := logOf(t, s), stateOf(t, s)
	for i := uint64(1); i <= 200; i++ {
		store(t, l, newEntry(i, 1, 200<<10))
		put(st, i, string(rune(i)), string(make([]byte, 200<<10)))
		u := s.Usage()
		if total := int64(u.Log.Memtables+u.State.Memtables) + u.Cache; total > s.o.MemoryBytes {
			t.Fatalf("%d bytes after entry %d: %+v", total, i, u)
		}
	}
	if err := s.FlushState(); err != nil {
		t.Fatal(err)
	}
	if u := s.Usage(); u.State.Flushed == 0 || u.State.WAL != 0 || u.Log.WAL < 30<<20 || u.Log.Disk == 0 {
		t.Errorf("usage is %+v", u)
	}
}

// A disk that is full costs the ballast, and what has no room is written.
func TestFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	var full atomic.Bool
	o := options(t, errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if _, err := mem.Stat("data/ballast"); full.Load() && err == nil && op.Kind == errorfs.OpFileWrite {
			return syscall.ENOSPC
		}
		return nil
	})))
	o.Ballast = 1 << 20
	s := openWith(t, o)
	defer shut(t, s)
	l := logOf(t, s)
	store(t, l, newEntry(1, 1, 1000))
	if u := s.Usage(); u.Full != 0 || u.Reserve < 100<<20 {
		t.Errorf("usage is %+v", u)
	}
	full.Store(true)
	store(t, l, entries(2, 20, 1, 100_000)...)
	if u := s.Usage(); u.Full == 0 || s.Err() != nil {
		t.Errorf("full %d times: %v", u.Full, s.Err())
	}
}
