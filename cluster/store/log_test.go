package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

// check compares a log with what it should hold.
func check(t testing.TB, l *Log, want map[uint64]*raft.Log) {
	t.Helper()
	var first, last uint64
	for i := range want {
		if first == 0 || i < first {
			first = i
		}
		last = max(last, i)
	}
	if got, _ := l.FirstIndex(); got != first {
		t.Fatalf("first index is %d, want %d", got, first)
	}
	if got, _ := l.LastIndex(); got != last {
		t.Fatalf("last index is %d, want %d", got, last)
	}
	var term uint64
	if last != 0 {
		term = want[last].Term
	}
	if i, tm := l.Tail(); i != last || tm != term {
		t.Fatalf("tail is %d of term %d, want %d of %d", i, tm, last, term)
	}
	for i := max(first, 2) - 1; i <= last+1; i++ {
		var got raft.Log
		err := l.GetLog(i, &got)
		if want[i] == nil {
			if !errors.Is(err, raft.ErrLogNotFound) {
				t.Fatalf("entry %d: got %v, want not found", i, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Data, want[i].Data) || got.Term != want[i].Term || got.Index != i {
			t.Fatalf("entry %d differs", i)
		}
	}
}

func TestLogKeepsEveryField(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	want := raft.Log{
		Index: 7, Term: 3, Type: raft.LogConfiguration, Data: []byte("data"),
		Extensions: []byte("ext"), AppendedAt: time.Unix(1, 2).UTC(),
	}
	store(t, logOf(t, s), &want)
	shut(t, s)
	s = open(t, fs)
	defer shut(t, s)
	var got raft.Log
	if err := logOf(t, s).GetLog(7, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestLogRandomHistories(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomHistory(t, seed) })
	}
}

func randomHistory(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	fs := vfs.NewMem()
	s := open(t, fs)
	defer func() { shut(t, s) }()
	l := logOf(t, s)
	want := map[uint64]*raft.Log{}
	first, last, term := uint64(1), uint64(0), uint64(1)
	drop := func(lo, hi uint64) {
		if err := l.DeleteRange(lo, hi); err != nil {
			t.Fatal(err)
		}
		for i := lo; i <= hi; i++ {
			delete(want, i)
		}
	}
	for range 120 {
		switch op := rng.IntN(10); {
		case op < 5:
			var logs []*raft.Log
			for range 1 + rng.IntN(200) {
				last++
				logs = append(logs, newEntry(last, term, rng.IntN(3000)))
				want[last] = logs[len(logs)-1]
			}
			store(t, l, logs...)
		case op == 5 && len(want) > 1: // the end
			lo := first + 1 + uint64(rng.IntN(len(want)-1))
			drop(lo, last)
			last = lo - 1
			term++
		case op == 6 && len(want) > 1: // the beginning
			hi := first + uint64(rng.IntN(len(want)-1))
			drop(first, hi)
			first = hi + 1
		case op == 7 && rng.IntN(4) == 0: // everything; the next comes after a gap
			drop(first, last)
			last += uint64(rng.IntN(50))
			first = last + 1
		case op == 8:
			shut(t, s)
			s = open(t, fs)
			l = logOf(t, s)
		case op == 9:
			check(t, l, want)
		}
	}
	check(t, l, want)
}

func TestLogRefusesWhatItCannotKeep(t *testing.T) {
	s := open(t, vfs.NewMem())
	defer shut(t, s)
	l := logOf(t, s)
	store(t, l, entries(5, 9, 1, 10)...)
	if err := l.StoreLog(newEntry(11, 1, 10)); err == nil {
		t.Error("an entry after a gap was stored")
	}
	if err := l.DeleteRange(6, 8); err == nil {
		t.Error("the middle was deleted")
	}
	if err := l.DeleteRange(1, 4); err != nil {
		t.Errorf("deleting nothing: %v", err)
	}
}

func TestLogStableStore(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	l := logOf(t, s)
	if _, err := l.Get([]byte("k")); err == nil || err.Error() != "not found" {
		t.Errorf("absent key: %v", err)
	}
	if _, err := l.GetUint64([]byte("k")); err == nil || err.Error() != "not found" {
		t.Errorf("absent number: %v", err)
	}
	if err := errors.Join(l.Set([]byte("k"), []byte("v")), l.SetUint64([]byte("n"), 42)); err != nil {
		t.Fatal(err)
	}
	shut(t, s)
	s = open(t, fs)
	defer shut(t, s)
	l = logOf(t, s)
	if v, err := l.Get([]byte("k")); err != nil || string(v) != "v" {
		t.Errorf("got %q, %v", v, err)
	}
	if n, err := l.GetUint64([]byte("n")); err != nil || n != 42 {
		t.Errorf("got %d, %v", n, err)
	}
	other, err := s.Log(2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Get([]byte("k")); err == nil {
		t.Error("shards share their keys")
	}
}

func TestLogEntriesWithin(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	defer func() { shut(t, s) }()
	l := logOf(t, s)
	if n := l.EntriesWithin(1 << 20); n != 1 {
		t.Errorf("empty log: %d", n)
	}
	const size = 10 << 10
	for i := uint64(1); i <= 1000; i += 10 {
		store(t, l, entries(i, i+9, 1, size)...)
	}
	near := func(bytes int64, all uint64) {
		t.Helper()
		got, want := l.EntriesWithin(bytes), max(uint64(bytes/size), 1)
		want = min(want, all)
		if got+30 < want || got > want+30 || got < 1 || got > all {
			t.Errorf("%d bytes: %d entries, want about %d", bytes, got, want)
		}
	}
	round := func(all uint64) {
		t.Helper()
		for _, bytes := range []int64{0, 1, size, 1 << 20, 3 << 20, 8 << 20, 9 << 20, 1 << 30} {
			near(bytes, all)
		}
	}
	round(1000)
	if err := l.DeleteRange(1, 300); err != nil {
		t.Fatal(err)
	}
	round(700)
	if err := l.DeleteRange(901, 1000); err != nil {
		t.Fatal(err)
	}
	round(600)
	shut(t, s)
	s = open(t, fs)
	l = logOf(t, s)
	round(600)
	store(t, l, entries(901, 1000, 2, size)...)
	round(700)
	if got := l.Size(); got < 100*size || got > 101*size {
		t.Errorf("size since opening is %d", got)
	}
}

// Raft's snapshot goroutine deletes from the beginning, or all it saw, while
// its main goroutine appends.
func TestLogIsCutWhileItGrows(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	l := logOf(t, s)
	const total = 3000
	done := make(chan uint64)
	go func() {
		deleted := uint64(0)
		for deleted < total*3/4 {
			last, _ := l.LastIndex()
			if last > deleted {
				if err := l.DeleteRange(1, last); err != nil {
					t.Error(err)
					break
				}
				deleted = last
			}
		}
		done <- deleted
	}()
	for i := uint64(1); i <= total; i++ {
		if err := l.StoreLog(newEntry(i, 1, 2000)); err != nil {
			t.Fatal(err)
		}
	}
	deleted := <-done
	want := map[uint64]*raft.Log{}
	for i := deleted + 1; i <= total; i++ {
		want[i] = newEntry(i, 1, 2000)
	}
	check(t, l, want)
	shut(t, s)
	s = open(t, fs)
	defer shut(t, s)
	check(t, logOf(t, s), want)
}
