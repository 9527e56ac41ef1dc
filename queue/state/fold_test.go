package state

import (
	"testing"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
)

func TestLifeOfAMessage(t *testing.T) {
	s := mapStore{}
	now := time.UnixMilli(1_700_000_000_000).UTC()
	id := mail.NewMessageID(now, 1, [5]byte{1})
	fold := func(at time.Time, events ...event.Event) Result {
		t.Helper()
		b := event.Append(nil, event.Entry{Term: 2, Groups: []event.Group{{ID: id, At: at, Events: events}}})
		e, err := event.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		return Fold(s, s, 1, 2, e)[0]
	}
	a := &event.Accepted{ID: id, Size: 5, Content: []byte("hello"), Envelope: mail.Envelope{Recipients: make([]mail.Recipient, 2)}}
	if r := fold(now, a); r != Applied {
		t.Fatal(r)
	}
	if r := fold(now, a); r != Duplicate {
		t.Fatal(r)
	}
	if rows := Due(s, DueRow{}, now, 10); len(rows) != 1 || rows[0].ID != id {
		t.Fatal(rows)
	}
	if r := fold(now, &event.Claimed{Number: 1, Recipients: []uint32{0, 1}}); r != Applied {
		t.Fatal(r)
	}
	if c := Count(s); c != (Counts{Messages: 1, InFlight: 1, Content: 5}) {
		t.Fatal(c)
	}
	if r := fold(now, &event.Delivered{Recipients: []uint32{0, 1}, Attempt: event.Attempt{Number: 1}}); r != Applied {
		t.Fatal(r)
	}
	if h, ok := History(s, id); !ok || len(h) != 3 {
		t.Fatal(h)
	}
	if len(s) != 2 {
		t.Fatalf("%q", s)
	}
	if r := fold(now, a); r != Duplicate {
		t.Fatal(r)
	}
}
