package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"quorumta/cluster/store/stream"
)

// filled is a state with pairs of many sizes.
func filled(t testing.TB, st *State, applied uint64, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 2))
	u := st.Update()
	for i := range 300 {
		value := make([]byte, rng.IntN(1<<(rng.IntN(14)+1)))
		for j := range value {
			value[j] = byte(rng.Uint32())
		}
		u.Set(fmt.Appendf(nil, "key %d of %d", i, seed), value)
	}
	u.Set([]byte("large"), bytes.Repeat([]byte("x"), 700<<10))
	u.Set([]byte("empty"), nil)
	u.Commit(applied, 3, chainOf(applied))
}

// streamed is a state as a snapshot stream.
func streamed(t testing.TB, st *State) []byte {
	t.Helper()
	v := st.View()
	defer v.Close()
	var b bytes.Buffer
	n, err := v.WriteTo(&b)
	if err != nil {
		t.Fatal(err)
	}
	if size, err := v.Size(); err != nil || size != n || int64(b.Len()) != n {
		t.Fatalf("size %d, written %d, got %d: %v", size, n, b.Len(), err)
	}
	return b.Bytes()
}

// streamOf is the stream of a state that was filled.
func streamOf(t testing.TB, applied, seed uint64) ([]byte, map[string]string) {
	t.Helper()
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	st := stateOf(t, s)
	filled(t, st, applied, seed)
	return streamed(t, st), viewed(st)
}

func TestRestore(t *testing.T) {
	b, want := streamOf(t, 100, 1)
	fs := vfs.NewMem()
	s := open(t, fs)
	st := stateOf(t, s)
	filled(t, st, 50, 2)
	if err := st.Restore(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if d := cmp.Diff(want, viewed(st)); d != "" {
			t.Error(d)
		}
		i, tm := st.Applied()
		if i != 100 || tm != 3 || st.Chain() != chainOf(100) || st.Durable() != 100 || st.Restoring() {
			t.Errorf("applied %d of term %d, durable %d, restoring %v", i, tm, st.Durable(), st.Restoring())
		}
		shut(t, s)
		s = open(t, fs)
		st = stateOf(t, s)
	}
	shut(t, s)
}

func TestRestoreLeavesANewerState(t *testing.T) {
	b, _ := streamOf(t, 100, 1)
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	st := stateOf(t, s)
	put(st, 101, "a", "1")
	if err := st.Restore(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"a": "1"}, viewed(st)); d != "" {
		t.Error(d)
	}
	if i, _ := st.Applied(); i != 101 || st.Restoring() || st.Durable() != 101 {
		t.Errorf("applied is %d, durable %d", i, st.Durable())
	}
	bad := bytes.Clone(b)
	bad[len(bad)-1] ^= 1
	if err := st.Restore(bytes.NewReader(bad)); !errors.Is(err, stream.ErrBad) || len(viewed(st)) != 1 {
		t.Errorf("got %v", err)
	}
}

func TestRestoreRefusesAForeignStream(t *testing.T) {
	b, _ := streamOf(t, 100, 1)
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	for name, open := range map[string]func() (*State, error){
		"shard":   func() (*State, error) { return s.State(2, "c1") },
		"cluster": func() (*State, error) { return s.State(1, "c2") },
	} {
		st, err := open()
		if err != nil {
			t.Fatal(err)
		}
		put(st, 1, "a", "1")
		if err := st.Restore(bytes.NewReader(b)); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
		if len(viewed(st)) != 1 || st.Restoring() {
			t.Errorf("%s: the state has changed", name)
		}
	}
}

// A stream that is cut short or changed anywhere is refused, and the state
// stays "restoring", empty to its readers, until one is whole.
func TestRestoreRefusesADamagedStream(t *testing.T) {
	good, want := streamOf(t, 100, 1)
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	st := stateOf(t, s)
	put(st, 7, "a", "1")
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range 60 {
		var r io.Reader
		at := rng.IntN(len(good))
		if i%20 == 0 {
			at = []int{len(good) - 1, 100, 0}[i/20]
		}
		switch i % 3 {
		case 0:
			r = bytes.NewReader(good[:at])
		case 1:
			bad := bytes.Clone(good)
			bad[at] ^= 1 << rng.IntN(8)
			r = bytes.NewReader(bad)
		case 2:
			r = io.MultiReader(bytes.NewReader(good), strings.NewReader("x"))
		}
		if err := st.Restore(r); !errors.Is(err, stream.ErrBad) && !errors.Is(err, ErrForeign) {
			t.Fatalf("damage %d at %d: %v", i, at, err)
		}
		if st.Restoring() {
			if n, _ := st.Applied(); n != 0 || len(viewed(st)) != 0 {
				t.Fatalf("half a state is shown, applied %d", n)
			}
		}
	}
	if !st.Restoring() {
		t.Error("no damage was found late")
	}
	if err := st.Restore(bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, viewed(st)); d != "" {
		t.Error(d)
	}
}

func TestStreamIsOfOneMoment(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	st := stateOf(t, s)
	filled(t, st, 10, 1)
	v := st.View()
	defer v.Close()
	want := v.SHA256()
	var b bytes.Buffer
	size, err := v.Size()
	if err != nil {
		t.Fatal(err)
	}
	filled(t, st, 11, 9)
	if _, err := v.WriteTo(&b); err != nil || int64(b.Len()) != size {
		t.Fatalf("%d bytes instead of %d: %v", b.Len(), size, err)
	}
	other := open(t, vfs.NewMem())
	defer shut(t, other)
	to := stateOf(t, other)
	if err := to.Restore(&b); err != nil {
		t.Fatal(err)
	}
	if sum(to) != want {
		t.Error("the digests differ")
	}
}
