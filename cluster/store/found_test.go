package store

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"quorumta/cluster/store/backup"
	"quorumta/cluster/store/stream"
)

// founding is how the members of another cluster begin.
func founding(lineage byte) Founding {
	return Founding{Cluster: "c2", Configuration: configuration, Lineage: [16]byte{lineage}}
}

// A backup of one cluster begins another: same mail, own identity, and a log
// that nobody can replay onto nothing.
func TestFoundFromABackup(t *testing.T) {
	from := open(t, vfs.NewMem())
	defer shut(t, from)
	r := replicaOf(t, from, 3)
	r.fill(t)
	var file bytes.Buffer
	w := backup.NewWriter(t.Context(), &file, backup.Options{Cluster: "c1", Made: time.Now()})
	v := r.state.View()
	if _, err := w.Add(v); err != nil {
		t.Fatal(err)
	}
	v.Close()
	put(r.state, 41, "since", "the backup")
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, sections, err := backup.Verify(bytes.NewReader(file.Bytes()))
	if err != nil || len(sections) != 1 {
		t.Fatal(sections, err)
	}
	in, err := backup.NewReader(bytes.NewReader(file.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	section, err := in.Next()
	if err != nil {
		t.Fatal(err)
	}

	fs := vfs.NewCrashableMem()
	s := open(t, fs)
	f := founding(0)
	f.Lineage = backup.Lineage("c2", sections[0])
	if err := s.Found(3, f, section); err != nil {
		t.Fatal(err)
	}
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Found(3, f, section); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("twice: %v", err)
	}
	shut(t, s)
	s = open(t, crashed)
	defer shut(t, s)
	st, err := s.State(3, "c2")
	if err != nil {
		t.Fatal(err)
	}
	if sum(st) != sections[0].Digest || st.Lineage() != f.Lineage || st.Restoring() {
		t.Error("the state is another")
	}
	if index, term := st.Applied(); index != 40 || term != 3 {
		t.Errorf("applied is %d of term %d", index, term)
	}
	snaps, err := s.Snapshots(3, st)
	if err != nil {
		t.Fatal(err)
	}
	list, err := snaps.List()
	if err != nil || len(list) != 1 || list[0].Index != 40 || !cmp.Equal(list[0].Configuration, configuration) {
		t.Errorf("snapshots are %v: %v", list, err)
	}
	l, err := s.Log(3)
	if err != nil {
		t.Fatal(err)
	}
	if tm, err := l.GetUint64([]byte("CurrentTerm")); tm != 3 || err != nil {
		t.Errorf("the term is %d: %v", tm, err)
	}
	if _, err := s.State(3, "c1"); !errors.Is(err, ErrForeign) {
		t.Errorf("the old cluster: %v", err)
	}
}

// Power is lost at each write while a backup is restored. The shard is whole
// afterwards, or is refused, or has nothing; and it can be restored again.
func TestCrashWhileFounding(t *testing.T) {
	b, want := streamOf(t, 100, 1)
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
	on.Store(true)
	if err := s.Found(1, founding(7), bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	on.Store(false)
	clones <- mem.CrashClone(vfs.CrashCloneCfg{}) // what is founded stays
	shut(t, s)
	close(clones)
	var nothing, refused, whole int
	for clone := range clones {
		s := open(t, clone)
		st, err := s.State(1, "c2")
		if err != nil {
			t.Fatal(err)
		}
		index, _ := st.Applied()
		n, err := s.Snapshots(1, st)
		switch {
		case errors.Is(err, ErrUnfounded):
			refused++
		case err != nil:
			t.Fatal(err)
		case index == 100 && cmp.Equal(want, viewed(st)):
			if label, _ := n.Label(); label != 100 {
				t.Fatal("there is no snapshot")
			}
			whole++
		case index == 0 && len(viewed(st)) == 0: // restoring, or untouched
			nothing++
		default:
			t.Fatalf("applied is %d", index)
		}
		if err := s.Found(1, founding(7), bytes.NewReader(b)); err != nil && !errors.Is(err, ErrNotEmpty) {
			t.Fatal(err)
		}
		shut(t, s)
	}
	t.Logf("%d crashes left nothing, %d half, %d all", nothing, refused, whole)
	if nothing == 0 || refused == 0 || whole == 0 {
		t.Error("the crashes miss a phase")
	}
}

// What is cut or flipped founds nothing: the shard has no snapshot, so that its
// start is refused, and a good stream may follow.
func TestFoundRefusesADamagedStream(t *testing.T) {
	good, want := streamOf(t, 100, 1)
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	rng := rand.New(rand.NewPCG(5, 5))
	for i := range 30 {
		b := bytes.Clone(good)
		if at := rng.IntN(len(b)); i%2 == 0 {
			b = b[:at]
		} else {
			b[at] ^= 1 << rng.IntN(8)
		}
		if err := s.Found(1, founding(1), bytes.NewReader(b)); !errors.Is(err, stream.ErrBad) && !errors.Is(err, ErrForeign) {
			t.Fatalf("damage %d: %v", i, err)
		}
	}
	if err := s.Found(2, founding(1), bytes.NewReader(good)); !errors.Is(err, ErrForeign) {
		t.Errorf("another shard: %v", err)
	}
	st, err := s.State(1, "c2")
	if err != nil {
		t.Fatal(err)
	}
	if !st.Restoring() || files(t, s) != "" {
		t.Errorf("a damaged backup has made a snapshot: files %q", files(t, s))
	}
	if err := s.Found(1, founding(2), io.Reader(bytes.NewReader(good))); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, viewed(st)); d != "" {
		t.Error(d)
	}
}
