package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
)

type getter interface {
	Get(key []byte) ([]byte, bool)
	Scan(lo, hi []byte, f func(key, value []byte) bool)
}

// all is everything that a reader shows.
func all(g getter) map[string]string {
	m := map[string]string{}
	last := ""
	g.Scan(nil, nil, func(k, v []byte) bool {
		if string(k) <= last && last != "" {
			panic("keys do not ascend")
		}
		last = string(k)
		m[last] = string(v)
		return true
	})
	return m
}

// viewed is everything in the state.
func viewed(st *State) map[string]string {
	v := st.View()
	defer v.Close()
	return all(v)
}

func sum(st *State) [32]byte {
	v := st.View()
	defer v.Close()
	return v.SHA256()
}

// put commits one pair as the entry.
func put(st *State, index uint64, key, value string) {
	u := st.Update()
	u.Set([]byte(key), []byte(value))
	u.Commit(index, 1, chainOf(index))
}

func chainOf(index uint64) (c [32]byte) {
	c[0], c[1], c[2] = byte(index), byte(index>>8), byte(index>>16)
	return c
}

func TestUpdateReadsItsOwnWrites(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	st := stateOf(t, s)
	put(st, 1, "a", "1")
	put(st, 2, "b", "2")
	u := st.Update()
	u.Set([]byte("c"), []byte("3"))
	u.Delete([]byte("a"))
	if _, ok := u.Get([]byte("a")); ok {
		t.Error("a deleted key is read")
	}
	if d := cmp.Diff(map[string]string{"b": "2", "c": "3"}, all(u)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"a": "1", "b": "2"}, viewed(st)); d != "" {
		t.Errorf("others see the batch: %s", d)
	}
	// A scan may change what it walks over.
	u.Scan(nil, nil, func(k, v []byte) bool {
		u.Set(append([]byte("x"), k...), v)
		u.Delete(k)
		return true
	})
	u.DeleteRange([]byte("xb"), []byte("xc"))
	u.DeleteRange([]byte("z"), []byte("x"))
	u.Commit(3, 1, chainOf(3))
	if d := cmp.Diff(map[string]string{"xc": "3"}, viewed(st)); d != "" {
		t.Error(d)
	}
	u = st.Update()
	u.Set([]byte("no"), nil)
	u.Discard()
	u.Discard()
	func() {
		u := st.Update()
		defer u.Discard()
		defer func() {
			if recover() == nil {
				t.Error("an entry was committed out of order")
			}
		}()
		u.Commit(2, 1, chainOf(2))
	}()
	if i, _ := st.Applied(); i != 3 || st.Chain() != chainOf(3) {
		t.Errorf("applied is %d", i)
	}
}

func TestStateBelongsToOneClusterAndShard(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	put(stateOf(t, s), 1, "a", "1")
	if _, err := s.State(1, "c2"); !errors.Is(err, ErrForeign) {
		t.Errorf("while open: %v", err)
	}
	shut(t, s)
	s = open(t, fs)
	defer shut(t, s)
	if _, err := s.State(1, "c2"); !errors.Is(err, ErrForeign) {
		t.Errorf("after opening: %v", err)
	}
	if d := cmp.Diff(map[string]string{"a": "1"}, viewed(stateOf(t, s))); d != "" {
		t.Error(d)
	}
	two, err := s.State(2, "c1")
	if err != nil {
		t.Fatal(err)
	}
	if len(viewed(two)) != 0 {
		t.Error("shards share their keys")
	}
}

func TestViewStaysAsItWas(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	st := stateOf(t, s)
	put(st, 5, "a", "1")
	v := st.View()
	defer v.Close()
	put(st, 6, "a", "2")
	if b, ok := v.Get([]byte("a")); !ok || string(b) != "1" {
		t.Errorf("got %q", b)
	}
	if i, _ := v.Applied(); i != 5 || v.Chain() != chainOf(5) {
		t.Errorf("applied is %d", i)
	}
}

func TestRaiseApplied(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	st := stateOf(t, s)
	put(st, 5, "a", "1")
	before := sum(st)
	if err := errors.Join(st.RaiseApplied(7, 2), st.RaiseApplied(6, 1), s.FlushState()); err != nil {
		t.Fatal(err)
	}
	if i, tm := st.Applied(); i != 7 || tm != 2 || st.Durable() != 7 {
		t.Errorf("applied is %d of term %d, durable %d", i, tm, st.Durable())
	}
	if st.Chain() != chainOf(5) || sum(st) != before {
		t.Error("the digests have changed")
	}
	shut(t, s)
	s = open(t, fs)
	defer shut(t, s)
	if i, tm := stateOf(t, s).Applied(); i != 7 || tm != 2 {
		t.Errorf("after opening: applied is %d of term %d", i, tm)
	}
}

// Two replicas that apply the same entries in batches of different sizes, one
// of them with restarts and flushes, have equal digests.
func TestSHA256DoesNotDependOnBatches(t *testing.T) {
	for seed := range uint64(5) {
		a := history(t, seed, func(int) int { return 1 }, false)
		b := history(t, seed, func(i int) int { return 1 + i%17 }, true)
		if a != b {
			t.Errorf("seed %d: the digests differ", seed)
		}
	}
}

func history(t *testing.T, seed uint64, batch func(int) int, restarts bool) [32]byte {
	fs := vfs.NewMem()
	s := open(t, fs)
	defer func() { shut(t, s) }()
	st := stateOf(t, s)
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := 1; i <= 400; {
		u := st.Update()
		for range batch(i) {
			if i++; i > 400 {
				break
			}
			key := fmt.Appendf(nil, "k%03d", rng.IntN(100))
			switch op := rng.IntN(10); {
			case op < 7:
				u.Set(key, bytes.Repeat([]byte{byte(i)}, rng.IntN(5000)))
			case op < 9:
				u.Delete(key)
			default:
				u.DeleteRange(key, fmt.Appendf(nil, "%s0", key))
			}
		}
		u.Commit(uint64(i), 1, [32]byte{})
		if restarts && i%40 == 0 {
			if err := s.FlushState(); err != nil {
				t.Fatal(err)
			}
		}
		if restarts && i%97 == 0 {
			shut(t, s)
			s = open(t, fs)
			st = stateOf(t, s)
		}
	}
	return sum(st)
}

// What a view has applied is what it shows, also while another goroutine commits.
func TestViewsAgreeWithTheirHead(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	st := stateOf(t, s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := uint64(1); i <= 2000; i++ {
			put(st, i, "index", strconv.FormatUint(i, 10))
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		v := st.View()
		index, _ := v.Applied()
		shown, _ := v.Get([]byte("index"))
		if index > 0 && (string(shown) != strconv.FormatUint(index, 10) || v.Chain() != chainOf(index)) {
			t.Fatalf("a view shows entry %s and says that it has applied %d", shown, index)
		}
		v.Close()
	}
}

// What is gone is not told from memory.
func TestViewOfADroppedShardIsEmpty(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	st := stateOf(t, s)
	put(st, 7, "a", "1")
	if err := s.Drop(1); err != nil {
		t.Fatal(err)
	}
	v := st.View()
	defer v.Close()
	if index, _ := v.Applied(); index != 0 {
		t.Errorf("the view of a dropped shard has applied %d", index)
	}
}
