package office

import (
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// Held lists held messages of the shard with ids above after, in their order. It
// looks at so many messages at most, and returns where to go on: "" at the end. It
// costs nothing where none is held.
func (o *Office) Held(after mail.MessageID, most int) (held []state.HeldMessage, next mail.MessageID) {
	v := o.opt.View(o.shard)
	defer v.Close()
	if state.Count(v).Held == 0 {
		return nil, ""
	}
	state.Open(v, after, func(id mail.MessageID) bool {
		if m, ok := state.Load(v, id); ok && m.Held {
			held = append(held, state.HeldMessage{Message: m, Since: heldSince(v, m)})
		}
		next = id
		most--
		return most > 0
	})
	if most > 0 {
		next = ""
	}
	return held, next
}

// heldSince is when the newest hold began, by the message's history.
func heldSince(r state.Reader, m *state.Message) time.Time {
	since := m.At
	records, _ := state.History(r, m.Accepted.ID)
	for _, record := range records {
		switch e := record.Event.(type) {
		case *event.Held:
			since = record.At
		case *event.Doubted:
			if e.Hold {
				since = record.At
			}
		}
	}
	return since
}
