package raftlog

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

func entry(index, term uint64, size int) *raft.Log {
	return &raft.Log{Index: index, Term: term, Type: raft.LogCommand, Data: make([]byte, size)}
}

func entries(first, last, term uint64, size int) []*raft.Log {
	var logs []*raft.Log
	for i := first; i <= last; i++ {
		logs = append(logs, entry(i, term, size))
	}
	return logs
}

func TestRecentKeepsTheNewestBytes(t *testing.T) {
	var r recent
	r.Add(entries(1, 100, 1, 1000), 10_200)
	if _, ok := r.Get(90); ok {
		t.Error("an old entry is kept")
	}
	if e, ok := r.Get(100); !ok || e.Index != 100 {
		t.Error("the newest entry is not kept")
	}
	r.Cut(95, 98)
	if _, ok := r.Get(99); ok {
		t.Error("a cut entry is kept")
	}
	if _, ok := r.Get(94); ok {
		t.Error("a cut entry is kept")
	}
	r.Add(entries(99, 99, 2, 10), 10_200)
	if e, ok := r.Get(99); !ok || e.Term != 2 {
		t.Error("the new entry is not kept")
	}
	r.Add(entries(200, 201, 2, 10), 10_200)
	if _, ok := r.Get(99); ok {
		t.Error("there is a gap")
	}
	r.Cut(300, 400)
	if r.bytes != 0 || len(r.entries) != 0 {
		t.Errorf("%d bytes in %d entries are left", r.bytes, len(r.entries))
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range []*raft.Log{entry(1, 2, 0), entry(9, 1, 30), {Type: raft.LogNoop, Extensions: []byte("x"), AppendedAt: time.Unix(5, 0)}} {
		b := make([]byte, sizeOf(e))
		put(b, e)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e raft.Log
		if err := decode(b, 1, &e); err != nil {
			return
		}
		again := make([]byte, sizeOf(&e))
		put(again, &e)
		var f raft.Log
		if err := decode(again, 1, &f); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e, f); d != "" {
			t.Fatal(d)
		}
	})
}
