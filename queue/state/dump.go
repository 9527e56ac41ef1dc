package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state/keys"
	"quorumta/queue/state/notes"
)

// Dump prints the state for people and for tests; its form may change.
func Dump(r Reader) string {
	var b bytes.Buffer
	c := Count(r)
	fmt.Fprintf(&b, "time %s\n", stamp(LastTime(r)))
	fmt.Fprintf(&b, "messages %d, held %d, in flight %d, content %d, uploads %d\n",
		c.Messages, c.Held, c.InFlight, c.Content, c.Uploads)
	if why, ok := Suspended(r); ok {
		fmt.Fprintf(&b, "suspended at %s by %q, backup of %s, free %d, held %d\n",
			stamp(why.At), why.By, stamp(why.Backup), c.Free, c.FreeHeld)
	}
	for _, row := range Due(r, DueRow{}, time.UnixMilli(1<<48-1), 1<<31-1) {
		fmt.Fprintf(&b, "due %s %s\n", stamp(row.Due), row.ID)
	}
	Claims(r, func(c Claim) bool {
		fmt.Fprintf(&b, "claim %s #%d %v by %s/%d term %d at %s\n",
			c.ID, c.Number, c.Recipients, c.By.Node, c.By.Boot, c.Term, stamp(c.At))
		return true
	})
	Uploads(r, func(u Upload) bool {
		fmt.Fprintf(&b, "upload %s by %s/%d/%d renewed %s\n",
			u.ID, u.Submitter.Node, u.Submitter.Boot, u.Submitter.Seq, stamp(u.Renewed))
		return true
	})
	r.Scan([]byte{keys.Content}, []byte{keys.Content + 1}, func(k, v []byte) bool {
		fmt.Fprintf(&b, "content %s part %d: %d bytes\n", k[1:1+keys.IDLength], binary.BigEndian.Uint32(k[1+keys.IDLength:]), len(v))
		return true
	})
	notes.Each(r, "", func(n notes.Note) bool {
		fmt.Fprintf(&b, "note %s=%s at %s until %s by %q: %q\n", n.Key, n.Value, stamp(n.At), stamp(n.Until), n.By, n.Why)
		return true
	})
	Open(r, "", func(id mail.MessageID) bool {
		dumpMessage(&b, r, id)
		return true
	})
	Closed(r, func(id mail.MessageID) bool {
		fmt.Fprintf(&b, "closed %s\n", id)
		dumpHistory(&b, r, id)
		return true
	})
	return b.String()
}

func dumpMessage(b *bytes.Buffer, r Reader, id mail.MessageID) {
	m, _ := Load(r, id)
	fmt.Fprintf(b, "message %s at %s, size %d, attempts %d", id, stamp(m.At), m.Accepted.Size, m.Attempts)
	if m.Held {
		fmt.Fprintf(b, ", held by %q: %q", m.HeldBy, m.HeldWhy)
	}
	if m.Suspended {
		b.WriteString(", suspended")
	}
	if len(m.Hosts) > 0 {
		fmt.Fprintf(b, ", to %s", strings.Join(m.Hosts, " "))
	}
	b.WriteByte('\n')
	for i := range m.Recipients {
		dumpRecipient(b, i, &m.Recipients[i])
	}
	dumpHistory(b, r, id)
}

func dumpRecipient(b *bytes.Buffer, i int, r *Recipient) {
	fmt.Fprintf(b, "  %d <%s> %s", i, r.Address, r.Phase)
	if r.Attempt > 0 {
		fmt.Fprintf(b, " #%d", r.Attempt)
	}
	if !r.Due.IsZero() {
		fmt.Fprintf(b, ", due %s", stamp(r.Due))
	}
	if r.Tries > 0 {
		fmt.Fprintf(b, ", tries %d since %s", r.Tries, stamp(r.FirstFailed))
	}
	if r.Error != event.ErrorNone || r.Reply.Code != 0 {
		fmt.Fprintf(b, ", error %d from %q: %s", r.Error, r.Host, r.Reply)
	}
	if r.Doubts > 0 {
		fmt.Fprintf(b, ", doubts %d", r.Doubts)
	}
	if r.Warned > 0 {
		fmt.Fprintf(b, ", warned %d", r.Warned)
	}
	b.WriteByte('\n')
}

func dumpHistory(b *bytes.Buffer, r Reader, id mail.MessageID) {
	history, _ := History(r, id)
	for _, record := range history {
		fmt.Fprintf(b, "  - %s term %d: %s\n", stamp(record.At), record.Term, record.Event.Kind())
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
