package store

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

// replica is everything of one shard.
type replica struct {
	log   *Log
	state *State
	mark  *Mark
	snaps *Snapshots
}

func replicaOf(t testing.TB, s *Store, shard uint16) replica {
	t.Helper()
	r, err := tryReplica(s, shard)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryReplica(s *Store, shard uint16) (r replica, err error) {
	if r.log, err = s.Log(shard); err != nil {
		return r, err
	}
	if r.state, err = s.State(shard, "c1"); err != nil {
		return r, err
	}
	if r.snaps, err = s.Snapshots(shard, r.state); err != nil {
		return r, err
	}
	r.mark, err = s.Mark(shard)
	return r, err
}

// fill gives a shard a log of 50 entries, a vote, a state and a marker at 30.
func (r replica) fill(t testing.TB) {
	t.Helper()
	store(t, r.log, entries(1, 50, 3, 3000)...)
	if err := errors.Join(r.log.SetUint64([]byte("CurrentTerm"), 3), r.mark.Lower(3, 50)); err != nil {
		t.Fatal(err)
	}
	filled(t, r.state, 40, uint64(r.state.shard))
	if err := r.state.store.FlushState(); err != nil {
		t.Fatal(err)
	}
	k, err := r.snaps.Create(1, 30, 3, configuration, 1, nil)
	if err := errors.Join(err, k.Close()); err != nil {
		t.Fatal(err)
	}
}

// empty checks that nothing is known of the shard.
func (r replica) empty(t testing.TB) {
	t.Helper()
	if index, _ := r.log.Tail(); index != 0 {
		t.Errorf("the log ends at %d", index)
	}
	if _, err := r.log.Get([]byte("CurrentTerm")); err == nil {
		t.Error("the term is known")
	}
	if index, _ := r.state.Applied(); index != 0 || len(viewed(r.state)) != 0 {
		t.Errorf("the state is at %d", index)
	}
	if index, _ := r.snaps.Label(); index != 0 {
		t.Errorf("there is a snapshot at %d", index)
	}
	if _, index := r.mark.Value(); index != 0 {
		t.Errorf("the mark is %d", index)
	}
}

func TestDropLeavesTheOtherShards(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs)
	for shard := range uint16(3) {
		replicaOf(t, s, shard).fill(t)
	}
	old := replicaOf(t, s, 1)
	want := viewed(replicaOf(t, s, 2).state)
	if err := s.Drop(1); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"append": old.log.StoreLog(newEntry(51, 3, 1)),
		"vote":   old.log.SetUint64([]byte("CurrentTerm"), 4),
		"raise":  old.state.RaiseApplied(50, 3),
	} {
		if !errors.Is(err, ErrDropped) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := old.mark.Lower(3, 50); err == nil {
		t.Error("a dropped mark was written")
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	again := replicaOf(t, s, 1)
	again.empty(t)
	again.fill(t)
	shut(t, s)
	s = open(t, crashed)
	defer shut(t, s)
	replicaOf(t, s, 1).empty(t)
	for _, shard := range []uint16{0, 2} {
		r := replicaOf(t, s, shard)
		if index, _ := r.log.Tail(); index != 50 {
			t.Errorf("the log of shard %d ends at %d", shard, index)
		}
		if label, _ := r.snaps.Label(); label != 30 {
			t.Errorf("the snapshot of shard %d is at %d", shard, label)
		}
		if _, index := r.mark.Value(); index != 50 {
			t.Errorf("the mark of shard %d is %d", shard, index)
		}
	}
	if d := cmp.Diff(want, viewed(replicaOf(t, s, 2).state)); d != "" {
		t.Error(d)
	}
}

// Power is lost at each write of a Drop. What is left is whole, gone, or a
// replica whose log lies below its mark; another Drop ends it.
func TestCrashWhileDropping(t *testing.T) {
	mem := vfs.NewCrashableMem()
	var on atomic.Bool
	clones := make(chan *vfs.MemFS, 1000)
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if on.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			n := len(clones)
			clones <- mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50 * (n % 3), RNG: rand.New(rand.NewPCG(uint64(n), 0))})
		}
		return nil
	}))
	s := open(t, fs)
	replicaOf(t, s, 1).fill(t)
	replicaOf(t, s, 2).fill(t)
	on.Store(true)
	if err := s.Drop(1); err != nil {
		t.Fatal(err)
	}
	on.Store(false)
	shut(t, s)
	close(clones)
	refused := 0
	for clone := range clones {
		s := open(t, clone)
		r, err := tryReplica(s, 1)
		if err != nil {
			refused++
		} else {
			last, _ := r.log.Tail()
			_, marked := r.mark.Value()
			applied, _ := r.state.Applied()
			switch {
			case last == 50 && marked == 50 && applied == 40: // whole
			case last < marked:
				refused++
			default:
				r.empty(t)
			}
		}
		if err := s.Drop(1); err != nil {
			t.Fatal(err)
		}
		replicaOf(t, s, 1).empty(t)
		if n := len(viewed(replicaOf(t, s, 2).state)); n == 0 {
			t.Error("the other shard is empty")
		}
		shut(t, s)
	}
	if refused == 0 {
		t.Error("no crash came in the middle")
	}
}

// A shard whose snapshot label, mark and received data are damaged can be
// dropped, and begins anew.
func TestDropOfADamagedShard(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	replicaOf(t, s, 1).fill(t)
	shut(t, s)
	names, err := fs.List("data/snapshots/1")
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	for _, path := range []string{"data/snapshots/1/" + names[0], "data/marks/marks"} {
		overwrite(t, fs, path, func(b []byte) []byte {
			for i := range b {
				b[i] ^= 0x10
			}
			return b
		})
	}
	s = open(t, fs)
	defer shut(t, s)
	if _, err := tryReplica(s, 1); err == nil {
		t.Fatal("a damaged replica was opened")
	}
	if err := s.Drop(1); err != nil {
		t.Fatal(err)
	}
	r := replicaOf(t, s, 1)
	r.empty(t)
	r.fill(t)
	if err := r.log.GetLog(50, new(raft.Log)); err != nil {
		t.Error(err)
	}
}

// overwrite replaces a file by what f makes of it.
func overwrite(t testing.TB, fs vfs.FS, path string, f func([]byte) []byte) {
	t.Helper()
	old, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(old)
	if err = errors.Join(err, old.Close()); err != nil {
		t.Fatal(err)
	}
	file, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.Write(f(b))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		t.Fatal(fmt.Errorf("overwrite %s: %w", path, err))
	}
}
