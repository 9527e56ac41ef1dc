package state

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/state/keys"
	"quorumta/queue/state/notes"
)

// failer is a test of testing or of rapid.
type failer interface {
	Helper()
	Fatalf(string, ...any)
}

// checkInvariants compares every index with what it is an index of.
func checkInvariants(t failer, s mapStore) {
	t.Helper()
	var c Counts
	owners := map[mail.MessageID]uint32{} // parts of content
	due := map[DueRow]bool{}
	flights := map[flight]string{}
	var heldBack, waiting uint64
	Open(s, "", func(id mail.MessageID) bool {
		m, _ := Load(s, id)
		checkMessage(t, s, id, m)
		c.Messages++
		c.Content += uint64(m.Accepted.Size)
		owners[id] = max(m.Accepted.Parts, 1)
		var earliest time.Time
		flying := uint64(0)
		for i, r := range m.Recipients {
			switch r.Phase {
			case Pending:
				if earliest.IsZero() || r.Due.Before(earliest) {
					earliest = r.Due
				}
			case InFlight:
				flying = 1
				flights[flight{id, r.Attempt}] += fmt.Sprint(i, " ")
			}
		}
		c.InFlight += flying
		st, _ := read(s, keys.IDKey(keys.Status, id), describeStatus)
		if free := readShard(s).era; free > 0 && st.free == free {
			c.Free++
			if m.Held {
				c.FreeHeld++
			}
		}
		if m.Suspended {
			waiting++
		}
		if m.Suspended || m.Held {
			heldBack++
		}
		if m.Held {
			c.Held++
		} else if !earliest.IsZero() && !m.Suspended {
			due[DueRow{earliest, id}] = true
		}
		return true
	})
	Uploads(s, func(u Upload) bool {
		c.Uploads++
		owners[u.ID] = 0
		return true
	})
	if got := Count(s); got != c {
		t.Fatalf("the counters are %+v, a scan counts %+v", got, c)
	}
	held, suspended := HeldBack(s)
	if held != heldBack || suspended != waiting {
		t.Fatalf("%d held and suspended, %d of them suspended; a scan counts %d and %d", held, suspended, heldBack, waiting)
	}
	if Empty(s) != (c.Messages == 0 && c.Uploads == 0 && len(Days(s)) == 0 && countNotes(s) == 0) {
		t.Fatalf("empty: %v, with %+v", Empty(s), c)
	}
	if n := CountDue(s, time.UnixMilli(1<<48-1)); n != uint64(len(due)) {
		t.Fatalf("%d are due, a scan counts %d", n, len(due))
	}
	for _, row := range Due(s, DueRow{}, time.UnixMilli(1<<48-1), 1<<30) {
		if !due[row] {
			t.Fatalf("%v is in the due index", row)
		}
		delete(due, row)
	}
	if len(due) > 0 {
		t.Fatalf("%v are not in the due index", due)
	}
	claims := len(flights)
	Claims(s, func(c Claim) bool {
		list := ""
		for _, n := range slices.Sorted(slices.Values(c.Recipients)) {
			list += fmt.Sprint(n, " ")
		}
		if claims--; list == "" || flights[flight{c.ID, c.Number}] != list || c.At.IsZero() || c.Term == 0 {
			t.Fatalf("claim %+v", c)
		}
		return true
	})
	if claims != 0 {
		t.Fatalf("%d claims are not in the index", claims)
	}
	checkContent(t, s, owners)
}

// flight names an attempt.
type flight struct {
	id     mail.MessageID
	number uint32
}

func checkMessage(t failer, s mapStore, id mail.MessageID, m *Message) {
	t.Helper()
	open := false
	for i, r := range m.Recipients {
		open = open || r.Phase.Open()
		if (r.Phase == Pending) == r.Due.IsZero() || r.Attempt > m.Attempts {
			t.Fatalf("%s: recipient %d: %+v of %d attempts", id, i, r, m.Attempts)
		}
	}
	if !open {
		t.Fatalf("%s is open, but nothing is left to do", id)
	}
	if _, ok := Content(s, id, max(m.Accepted.Parts, 1)-1); !ok {
		t.Fatalf("%s has no content", id)
	}
	if m.Accepted.Content != nil {
		t.Fatalf("the Accepted of %s carries its content", id)
	}
	st, _ := read(s, keys.IDKey(keys.Status, id), describeStatus)
	if h, ok := History(s, id); !ok || len(h) != int(st.records) {
		t.Fatalf("%s has %d records, not %d", id, len(h), st.records)
	}
}

// checkContent looks for what belongs to nobody.
func checkContent(t failer, s mapStore, owners map[mail.MessageID]uint32) {
	t.Helper()
	for k := range s {
		if len(k) == 1 {
			continue
		}
		switch id := mail.MessageID(k[1:min(len(k), 21)]); k[0] {
		case keys.Content:
			parts, ok := owners[id]
			if n := binary.BigEndian.Uint32([]byte(k[21:])); !ok || parts > 0 && n >= parts {
				t.Fatalf("content %q belongs to nobody", k)
			}
		case keys.History, keys.Message, keys.Chunk, keys.Section:
			if _, ok := s.Get(keys.IDKey(keys.Status, id)); !ok {
				t.Fatalf("row %q belongs to no open message", k)
			}
		case keys.Closed:
			if _, ok := s.Get(keys.IDKey(keys.Status, mail.MessageID(k[5:]))); ok {
				t.Fatalf("%q is open and closed", k)
			}
		}
	}
}

// countNotes counts the notes, and checks that they are found by name.
func countNotes(s mapStore) int {
	count := 0
	notes.Each(s, "", func(n notes.Note) bool {
		if found, ok := notes.Get(s, n.Key); ok && found == n {
			count++
		}
		return true
	})
	return count
}
