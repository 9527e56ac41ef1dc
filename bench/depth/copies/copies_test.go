package copies

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quorumta/cluster/store/backup"
	"quorumta/cluster/store/stream"
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

var epoch = time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC)

// memory is a shard's state.
type memory map[string][]byte

func (m memory) Get(key []byte) ([]byte, bool) { v, ok := m[string(key)]; return slices.Clone(v), ok }

func (m memory) Scan(lo, hi []byte, f func(key, value []byte) bool) {
	var keys []string
	for k := range m {
		if k >= string(lo) && (hi == nil || k < string(hi)) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if !f([]byte(k), slices.Clone(m[k])) {
			return
		}
	}
}

func (m memory) Set(key, value []byte) { m[string(key)] = append([]byte{}, value...) }
func (m memory) Delete(key []byte)     { delete(m, string(key)) }
func (m memory) DeleteRange(lo, hi []byte) {
	maps.DeleteFunc(m, func(k string, _ []byte) bool { return k >= string(lo) && k < string(hi) })
}

func (m memory) fold(t *testing.T, groups ...event.Group) {
	t.Helper()
	for _, r := range state.Fold(m, m, 1, 4, event.Entry{Term: 4, Groups: groups}) {
		if !r.OK() {
			t.Fatal(r)
		}
	}
}

// life is what becomes of the n-th kind of message under an id: it is claimed
// and put off. Kinds have a number of recipients and a due time of their own.
func life(n uint64, id mail.MessageID) []event.Group {
	text := bytes.Repeat([]byte{'a' + byte(n)}, 100*int(n+1))
	a := &event.Accepted{
		ID: id, Submitter: event.Submitter{Process: event.Process{Node: "n1", Boot: 7}, Seq: n},
		Size: int64(len(text)), Content: text, Subject: "about " + string(id),
		Envelope: mail.Envelope{From: mail.Address{Local: "s", Domain: "x"}},
	}
	all := []uint32{}
	for i := range 20 * (uint32(n) + 1) {
		a.Envelope.Recipients = append(a.Envelope.Recipients, mail.Recipient{Address: mail.Address{Local: "r", Domain: "y"}})
		all = append(all, i)
	}
	return []event.Group{
		{ID: id, At: epoch, Events: []event.Event{a}},
		{ID: id, At: epoch, Events: []event.Event{&event.Claimed{Number: 1, Recipients: all}}},
		{ID: id, At: epoch, Events: []event.Event{&event.Deferred{Recipients: all, Attempt: event.Attempt{Number: 1},
			Error: event.ErrorConnect, Due: epoch.Add(time.Duration(n/2) * time.Hour)}}},
	}
}

// source is a state as a backup takes it.
type source struct {
	header stream.Header
	memory
}

func (s source) Size() (int64, error) { return s.WriteTo(io.Discard) }

func (s source) WriteTo(w io.Writer) (int64, error) {
	out := stream.NewWriter(w, s.header)
	s.Scan(nil, nil, func(key, value []byte) bool { return out.Pair(key, value) == nil })
	return out.Close()
}

// save makes a backup of a shard.
func save(t *testing.T, states ...memory) string {
	t.Helper()
	var b bytes.Buffer
	w := backup.NewWriter(t.Context(), &b, backup.Options{Cluster: "c1", Made: epoch})
	for i, m := range states {
		if _, err := w.Add(source{stream.Header{Cluster: "c1", Shard: uint16(i + 1), Applied: 9, Term: 4}, m}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "small")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load reads a backup, which must be whole.
func load(t *testing.T, path string) (out []memory) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, _, err := backup.Verify(f); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	r, err := backup.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		part, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		m, in := memory{}, stream.NewReader(part)
		if _, err := in.Header(); err != nil {
			t.Fatal(err)
		}
		if err := in.Body(func(key, value []byte) error { m.Set(key, value); return nil }); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
}

// The copies are, row by row, what folding so many messages would have left.
func TestCopiesAreAsIfFolded(t *testing.T) {
	var small []memory
	for shard := range uint16(2) {
		m := memory{}
		for n := range uint64(4) {
			m.fold(t, life(n, mail.NewMessageID(epoch.Add(time.Duration(n)), shard+1, [5]byte{byte(n)}))...)
		}
		small = append(small, m)
	}
	many := filepath.Join(t.TempDir(), "many")
	if err := Multiply(save(t, small...), many, 201); err != nil {
		t.Fatal(err)
	}
	total := 0
	for i, got := range load(t, many) {
		want := memory{}
		state.Open(got, "", func(id mail.MessageID) bool {
			if id.Shard() != uint16(i+1) {
				t.Errorf("shard %d has %s of shard %d", i+1, id, id.Shard())
			}
			m, _ := state.Load(got, id)
			for _, g := range life(m.Accepted.Submitter.Seq, id) {
				want.fold(t, g)
			}
			total++
			return true
		})
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	if total != 201 {
		t.Errorf("%d messages", total)
	}
}

func TestOnlyMessagesAtRestAreCopied(t *testing.T) {
	id := mail.NewMessageID(epoch, 1, [5]byte{1})
	flying, ended := memory{}, memory{}
	flying.fold(t, life(0, id)[:2]...)
	ended.fold(t, life(0, id)[0], event.Group{ID: id, At: epoch, Events: []event.Event{&event.Removed{By: "op"}}})
	for name, m := range map[string]memory{"in flight": flying, "ended": ended, "empty": {}} {
		if err := Multiply(save(t, m), filepath.Join(t.TempDir(), "many"), 10); err == nil {
			t.Errorf("%s: it was copied", name)
		}
	}
}

// Whatever is missing from a backup is noticed.
func TestCutBackup(t *testing.T) {
	m := memory{}
	m.fold(t, life(0, mail.NewMessageID(epoch, 1, [5]byte{1}))...)
	small := save(t, m)
	whole, err := os.ReadFile(small)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) - digestSize - 4 {
		if err := os.WriteFile(small, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := read(small); err == nil {
			t.Errorf("cut at %d of %d: it was read", n, len(whole))
		}
	}
}
