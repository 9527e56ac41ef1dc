package skip

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
	"quorumta/queue/state/memory"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// skipped is a store with two open messages, and an id of another shard.
func skipped(t *testing.T) (*memory.Rows, []mail.MessageID) {
	t.Helper()
	s := &memory.Rows{}
	ids := []mail.MessageID{
		mail.NewMessageID(epoch, 1, [5]byte{1}), mail.NewMessageID(epoch, 1, [5]byte{2}), mail.NewMessageID(epoch, 2, [5]byte{3}),
	}
	for _, id := range ids[:2] {
		a := &event.Accepted{ID: id, Envelope: mail.Envelope{Recipients: []mail.Recipient{{}}}, Size: 1, Content: []byte("x")}
		e := event.Entry{Term: 1, Groups: []event.Group{{ID: id, At: epoch, Events: []event.Event{a}}}}
		if r := state.Fold(s, s, 1, 1, e)[0]; r != state.Applied {
			t.Fatal(r)
		}
	}
	return s, ids
}

// dump is all rows.
func dump(s *memory.Rows) string {
	var b strings.Builder
	s.Scan(nil, nil, func(k, v []byte) bool {
		fmt.Fprintf(&b, "%q %x\n", k, v)
		return true
	})
	return b.String()
}

// PROTOCOL 22: the messages that a skipped entry names are held.
func TestASkippedEntryHoldsWhatItNames(t *testing.T) {
	s, ids := skipped(t)
	report := &event.Accepted{ID: ids[1], Cause: ids[0]}
	entry := event.Append(nil, event.Entry{Term: 1, Groups: []event.Group{
		{ID: ids[0], At: epoch, Events: []event.Event{&event.Released{}, report}},
		{ID: ids[2], At: epoch, Events: []event.Event{&event.Released{}}},
	}})
	held, results := Entry(s, s, 1, 7, 1, entry)
	if len(held) != 2 || len(results) != 2 || results[0] != state.Malformed {
		t.Fatalf("held %v, results %v", held, results)
	}
	for _, id := range ids[:2] {
		if m, _ := state.Load(s, id); !m.Held || !strings.Contains(m.HeldWhy, "entry 7") {
			t.Errorf("%+v", m)
		}
	}
	if n := state.Count(s); n.Messages != 2 || n.Held != 2 || state.CountDue(s, epoch) != 0 {
		t.Errorf("%+v", n)
	}
	if held, _ := Entry(s, s, 1, 8, 1, entry); len(held) != 0 {
		t.Errorf("held again: %v", held)
	}
}

// An entry that nobody can decode names what it contains.
func TestASkippedEntryMayBeAnything(t *testing.T) {
	s, ids := skipped(t)
	entry := append([]byte{0xff, 0xff}, ids[1]...)
	held, results := Entry(s, s, 1, 7, 1, append(entry, ids[2]...))
	if len(held) != 1 || held[0].ID != ids[1] || results != nil {
		t.Fatalf("held %v, results %v", held, results)
	}
	if held, results := Entry(&memory.Rows{}, &memory.Rows{}, 1, 7, 1, entry); held != nil || results != nil {
		t.Errorf("an empty shard holds %v, %v", held, results)
	}
}

// A row that cannot be read does not stand in the way of the others, and is not
// half written over.
func TestSkippingOverDamagedRows(t *testing.T) {
	s, ids := skipped(t)
	entry := event.Append(nil, event.Entry{Groups: []event.Group{
		{ID: ids[0], Events: []event.Event{&event.Released{}}}, {ID: ids[1], Events: []event.Event{&event.Released{}}},
	}})
	s.Set([]byte("s"+ids[0]), []byte{0xff})
	if held, _ := Entry(s, s, 1, 7, 1, entry); len(held) != 1 || held[0].ID != ids[1] {
		t.Errorf("held %v", held)
	}
	if row, _ := s.Get([]byte("s" + ids[0])); !bytes.Equal(row, []byte{0xff}) {
		t.Errorf("row %x", row)
	}
	s.Set([]byte("a"), []byte{0xff})
	before := dump(s)
	if held, results := Entry(s, s, 1, 8, 1, entry); held != nil || len(results) != 2 || dump(s) != before {
		t.Errorf("held %v, results %v", held, results)
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte("06h0gs1jkg01jze30d67"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ids := skipped(t)
		Entry(s, s, 1, 7, 1, append(b, ids[0]...))
		state.Dump(s) // every row can be read
	})
}
