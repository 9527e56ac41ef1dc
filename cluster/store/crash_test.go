package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

// Power is lost at many moments of a history. Nothing that was synced is
// missing, what survives has no gap, and the state is that of its index.
func TestCrashLosesNothingSynced(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs)
	defer func() { shut(t, s) }()
	l, st, m := logOf(t, s), stateOf(t, s), markOf(t, s)
	rng := rand.New(rand.NewPCG(1, 1))
	first, last, applied, flushed := uint64(1), uint64(0), uint64(0), uint64(0)
	for round := range 80 {
		n := uint64(1 + rng.IntN(30))
		store(t, l, entries(last+1, last+n, 1, rng.IntN(20_000))...)
		last += n
		if err := m.Lower(1, last); err != nil {
			t.Fatal(err)
		}
		for applied < last {
			u := st.Update()
			for range 1 + rng.IntN(5) {
				if applied == last {
					break
				}
				applied++
				u.Set(fmt.Appendf(nil, "%08d", applied), make([]byte, rng.IntN(9000)))
			}
			u.Commit(applied, 1, chainOf(applied))
		}
		if rng.IntN(4) == 0 {
			if err := s.FlushState(); err != nil {
				t.Fatal(err)
			}
			flushed = applied
			first = max(first, flushed-min(flushed, uint64(rng.IntN(40))))
			if err := l.DeleteRange(1, first-1); err != nil {
				t.Fatal(err)
			}
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: round % 101, RNG: rand.New(rand.NewPCG(uint64(round), 0))})
		checkCrashed(t, crashed, first, last, flushed)
	}
}

func checkCrashed(t *testing.T, fs vfs.FS, first, last, flushed uint64) {
	t.Helper()
	s := open(t, fs)
	defer shut(t, s)
	l := logOf(t, s)
	gotFirst, _ := l.FirstIndex()
	gotLast, _ := l.LastIndex()
	if gotFirst > first || gotLast != last {
		t.Fatalf("the log is [%d, %d], want [%d, %d]", gotFirst, gotLast, first, last)
	}
	for i := gotFirst; i <= gotLast; i++ {
		var e raft.Log
		if err := l.GetLog(i, &e); err != nil {
			t.Fatal(err)
		}
	}
	if tm, i := markOf(t, s).Value(); tm != 1 || i != last {
		t.Fatalf("mark is (%d, %d), want (1, %d)", tm, i, last)
	}
	st := stateOf(t, s)
	applied, _ := st.Applied()
	if applied < flushed || applied > last {
		t.Fatalf("applied is %d, flushed was %d of %d", applied, flushed, last)
	}
	if applied > 0 && st.Chain() != chainOf(applied) {
		t.Fatal("the chain is of another index")
	}
	pairs := viewed(st)
	if uint64(len(pairs)) != applied {
		t.Fatalf("%d effects of %d entries", len(pairs), applied)
	}
	for i := range applied {
		if _, ok := pairs[fmt.Sprintf("%08d", i+1)]; !ok {
			t.Fatalf("the effect of %d is missing", i+1)
		}
	}
}

func markOf(t testing.TB, s *Store) *Mark {
	t.Helper()
	m, err := s.Mark(1)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// install receives a snapshot and restores it, as raft and the group do.
func install(s *Store, b []byte) error {
	st, err := s.State(1, "c1")
	if err != nil {
		return err
	}
	n, err := s.Snapshots(1, st)
	if err != nil {
		return err
	}
	k, err := n.Create(1, 100, 3, raft.Configuration{}, 1, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(k, bytes.NewReader(b)); err != nil {
		return err
	}
	if err := k.Close(); err != nil {
		return err
	}
	return restoreReceived(st, n)
}

// restoreReceived is what a start does.
func restoreReceived(st *State, n *Snapshots) error {
	id, _, _, ok := n.Received()
	if !ok {
		return nil
	}
	_, r, err := n.Open(id)
	if err != nil {
		return err
	}
	if err := errors.Join(st.Restore(r), r.Close()); err != nil {
		return err
	}
	return n.Restored(id)
}

// Power is lost at each write of an installation. Afterwards the state is the
// old or the new one, or the received data is there to restore it.
func TestCrashWhileInstalling(t *testing.T) {
	b, want := streamOf(t, 100, 1)
	mem := vfs.NewCrashableMem()
	var on atomic.Bool
	var mu sync.Mutex
	var clones []*vfs.MemFS
	ops := 0
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !on.Load() || op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		ops++
		rng := rand.New(rand.NewPCG(uint64(ops), 0))
		clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * (ops % 3), RNG: rng}))
		return nil
	}))
	s := open(t, fs)
	st := stateOf(t, s)
	filled(t, st, 50, 2)
	old := viewed(st)
	snapshotsOf(t, s)
	if err := s.FlushState(); err != nil {
		t.Fatal(err)
	}
	on.Store(true)
	if err := install(s, b); err != nil {
		t.Fatal(err)
	}
	on.Store(false)
	shut(t, s)
	var olds, again, news int
	for i, clone := range clones {
		s := open(t, clone)
		st := stateOf(t, s)
		n := snapshotsOf(t, s)
		_, _, _, received := n.Received()
		if st.Restoring() && !received {
			t.Fatalf("crash %d: the state is lost", i)
		}
		if err := restoreReceived(st, n); err != nil {
			t.Fatalf("crash %d: %v", i, err)
		}
		switch index, _ := st.Applied(); {
		case index == 50 && !received && cmp.Equal(old, viewed(st)):
			olds++
		case index == 100 && cmp.Equal(want, viewed(st)) && files(t, s) == "label":
			if received {
				again++
			} else {
				news++
			}
		default:
			t.Fatalf("crash %d: applied %d, received %v, files %q", i, index, received, files(t, s))
		}
		shut(t, s)
	}
	t.Logf("%d crashes: %d left the old state, %d restored again, %d had the new one", len(clones), olds, again, news)
	if olds == 0 || again == 0 || news == 0 {
		t.Errorf("the crashes miss a phase: %d %d %d", olds, again, news)
	}
}

// broken is a store whose files fail once it is switched on.
func broken(t *testing.T, mem vfs.FS, when errorfs.Predicate) (s *Store, fault *errorfs.Toggle, fatal *atomic.Int32) {
	t.Helper()
	fault = &errorfs.Toggle{Injector: errorfs.ErrInjected.If(when)}
	fatal = new(atomic.Int32)
	o := options(t, errorfs.Wrap(mem, fault))
	o.Fatal = func(error) { fatal.Add(1) }
	return openWith(t, o), fault, fatal
}

func TestNothingIsAcknowledgedAfterAFailedWrite(t *testing.T) {
	for name, when := range map[string]errorfs.Predicate{
		"any":     errorfs.Writes,
		"the WAL": errorfs.And(errorfs.Writes, errorfs.PathMatch("data/log/*.log")),
	} {
		t.Run(name, func(t *testing.T) { failWhileAppending(t, when) })
	}
}

func failWhileAppending(t *testing.T, when errorfs.Predicate) {
	mem := vfs.NewCrashableMem()
	s, fault, fatal := broken(t, mem, when)
	var acked [5]atomic.Uint64
	var group sync.WaitGroup
	begun := make(chan struct{}, 100)
	for shard := uint16(1); shard <= 4; shard++ {
		l, err := s.Log(shard)
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			for i := uint64(1); ; i++ {
				// Pebble ends the process when it fails while it changes WALs, which
				// a test would not survive: the first 256 KiB go into one.
				if err := l.StoreLog(newEntry(i, 1, 200)); err != nil {
					return
				}
				acked[shard].Store(i)
				select {
				case begun <- struct{}{}:
				default:
				}
			}
		})
	}
	for range cap(begun) {
		<-begun
	}
	fault.On()
	group.Wait()
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	fault.Off()
	if n := fatal.Load(); n != 1 || s.Err() == nil {
		t.Errorf("fatal was called %d times: %v", n, s.Err())
	}
	l := logOf(t, s)
	put(stateOf(t, s), 1, "a", "1")
	for what, err := range map[string]error{
		"append": l.StoreLog(newEntry(acked[1].Load()+1, 1, 1)),
		"set":    l.Set([]byte("k"), nil),
		"drop":   l.Drop(),
		"flush":  s.FlushState(),
		"raise":  stateOf(t, s).RaiseApplied(9, 9),
	} {
		if !errors.Is(err, ErrDead) {
			t.Errorf("%s on a dead store: %v", what, err)
		}
	}
	if i, _ := stateOf(t, s).Applied(); i != 0 {
		t.Error("a dead store applies")
	}
	_ = s.Close() // must return
	s = open(t, crashed)
	defer shut(t, s)
	for shard := uint16(1); shard <= 4; shard++ {
		l, err := s.Log(shard)
		if err != nil {
			t.Fatal(err)
		}
		if last, _ := l.LastIndex(); last < acked[shard].Load() {
			t.Errorf("shard %d: %d was acknowledged, %d is there", shard, acked[shard].Load(), last)
		}
	}
}

func TestFailedFlushIsFatal(t *testing.T) {
	s, fault, fatal := broken(t, vfs.NewMem(), errorfs.And(errorfs.Writes, errorfs.PathMatch("data/state/*")))
	st := stateOf(t, s)
	put(st, 1, "a", "1")
	fault.On()
	if err := s.FlushState(); !errors.Is(err, ErrDead) || fatal.Load() != 1 {
		t.Errorf("flush: %v, fatal was called %d times", err, fatal.Load())
	}
	if st.Durable() != 0 {
		t.Error("what was not flushed counts as durable")
	}
	fault.Off()
	_ = s.Close() // must return
}

func TestOpenNamesTheDamagedFile(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	put(stateOf(t, s), 1, "a", "1")
	shut(t, s)
	names, err := fs.List("data/state")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(names, func(n string) bool { return len(n) > 9 && n[:9] == "MANIFEST-" })
	if i < 0 {
		t.Fatalf("no manifest in %q", names)
	}
	if err := fs.Remove("data/state/" + names[i]); err != nil {
		t.Fatal(err)
	}
	o := options(t, fs)
	o.Fatal = func(error) {}
	if _, err := Open(o); err == nil || !bytes.Contains([]byte(err.Error()), []byte(names[i])) {
		t.Errorf("got %v", err)
	}
}

// Everything runs in virtual time, and nothing outlives Close.
func TestInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewCrashableMem()
		s := open(t, fs)
		l, st, m, n := logOf(t, s), stateOf(t, s), markOf(t, s), snapshotsOf(t, s)
		for i := uint64(1); i <= 200; i++ {
			store(t, l, newEntry(i, 1, 20_000))
			put(st, i, fmt.Sprint(i), "v")
			m.Raise(1, i)
			time.Sleep(7 * time.Millisecond)
		}
		if err := errors.Join(s.FlushState(), l.DeleteRange(1, 150)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if l.Oldest() != 0 || st.Oldest() != 0 {
			t.Error("an idle store waits for something")
		}
		k := create(t, n, 200)
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if _, b := readAll(t, n, k.ID()); len(b) == 0 {
			t.Error("no stream")
		}
		shut(t, s)
	})
}

// A write that hangs is seen, with its age.
func TestOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var hang atomic.Bool
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if hang.Load() && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
				<-release
			}
			return nil
		}))
		s := open(t, fs)
		l := logOf(t, s)
		store(t, l, newEntry(1, 1, 1))
		hang.Store(true)
		done := make(chan error)
		go func() { done <- l.StoreLog(newEntry(2, 1, 1)) }()
		time.Sleep(3 * time.Second)
		if d := time.Duration(l.Oldest()); d != 3*time.Second {
			t.Errorf("oldest is %v", d)
		}
		if last, _ := l.LastIndex(); last != 1 {
			t.Error("an entry is shown before it is synced")
		}
		if err := l.GetLog(2, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("got %v", err)
		}
		hang.Store(false)
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if l.Oldest() != 0 {
			t.Error("it is over")
		}
		shut(t, s)
	})
}

// Pebble opens a log whose newest WAL was cut, without a word; the mark tells.
func TestMarkTellsALostTail(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs)
	l, m := logOf(t, s), markOf(t, s)
	store(t, l, entries(1, 50, 1, 1000)...)
	for i := uint64(51); i <= 100; i++ {
		store(t, l, newEntry(i, 1, 1000))
	}
	if err := m.Lower(1, 100); err != nil {
		t.Fatal(err)
	}
	damaged := fs.CrashClone(vfs.CrashCloneCfg{})
	shut(t, s)
	names, err := damaged.List("data/log")
	if err != nil {
		t.Fatal(err)
	}
	wal := ""
	for _, n := range names {
		if len(n) > 4 && n[len(n)-4:] == ".log" {
			wal = max(wal, "data/log/"+n)
		}
	}
	cut(t, damaged, wal)
	s = open(t, damaged)
	defer shut(t, s)
	last, _ := logOf(t, s).LastIndex()
	if _, marked := markOf(t, s).Value(); last >= 100 || marked != 100 {
		t.Errorf("the log ends at %d, the mark says %d", last, marked)
	}
}

// cut takes the last third of a file away.
func cut(t *testing.T, fs vfs.FS, path string) {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	f, err = fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b[:len(b)*2/3]); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// All of it on a real file system.
func TestOnDisk(t *testing.T) {
	b, want := streamOf(t, 105, 1)
	o := options(t, vfs.Default)
	o.Dir = t.TempDir()
	s := openWith(t, o)
	l, m := logOf(t, s), markOf(t, s)
	store(t, l, entries(1, 300, 1, 20_000)...)
	m.Raise(1, 300)
	if err := errors.Join(install(s, b), l.DeleteRange(1, 200)); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	s = openWith(t, o)
	defer shut(t, s)
	if first, _ := logOf(t, s).FirstIndex(); first != 201 {
		t.Errorf("the log begins at %d", first)
	}
	if _, i := markOf(t, s).Value(); i != 300 {
		t.Errorf("the mark is %d", i)
	}
	if d := cmp.Diff(want, viewed(stateOf(t, s))); d != "" {
		t.Error(d)
	}
	n := snapshotsOf(t, s)
	list, err := n.List()
	if err != nil || len(list) != 1 {
		t.Fatalf("%d snapshots: %v", len(list), err)
	}
	if _, again := readAll(t, n, list[0].ID); !bytes.Equal(again, b) {
		t.Error("the stream has changed")
	}
}
