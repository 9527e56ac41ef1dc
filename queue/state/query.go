package state

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/event/codec"
	"quorumta/queue/state/keys"
	"quorumta/queue/state/notes"
	"quorumta/queue/state/roster"
)

// Recaller is what a Reader may be beside: it remembers some rows. It is safe
// for concurrent use.
type Recaller interface {
	// Recall gives the rows under the keys as they are together, nil where there
	// is none, without reading the store. It reports whether it knows all of
	// them. They must not be changed.
	Recall(keys ...[]byte) (rows [][]byte, ok bool)
	// Note keeps what a row says for as long as the row is remembered; Noted
	// gives it, or nil.
	Note(key, row []byte, says any)
	Noted(key, row []byte) any
}

// recall gives the rows under the keys, remembered or read.
func recall(r Reader, keys ...[]byte) [][]byte {
	if c, ok := r.(Recaller); ok {
		if rows, ok := c.Recall(keys...); ok {
			return rows
		}
	}
	rows := make([][]byte, len(keys))
	for i, key := range keys {
		row, ok := r.Get(key)
		if ok && row == nil {
			row = []byte{}
		}
		rows[i] = row
	}
	return rows
}

// Load reads an open message. What was accepted is shared by all who load it:
// nobody may change it.
func Load(r Reader, id mail.MessageID) (*Message, bool) {
	key := keys.IDKey(keys.Status, id)
	rows := recall(r, key, keys.IDKey(keys.Message, id), keys.ShardKey())
	if rows[0] == nil {
		return nil, false
	}
	s := parse(keys.ShardKey(), rows[2], describeShard)
	memory, ok := r.(Recaller)
	if !ok {
		return assemble(r, id, rows).message(&s), true
	}
	if known, ok := memory.Noted(key, rows[0]).(*loaded); ok {
		return known.message(&s), true
	}
	if st := parse(key, rows[0], describeStatus); st.roster.Chunked() { // its other rows must be of the same moment
		return Load(struct{ Reader }{r}, id)
	}
	l := assemble(r, id, rows)
	memory.Note(key, rows[0], l)
	return l.message(&s), true
}

// loaded is a message as its rows have it, and the era that it is free in.
type loaded struct {
	Message
	free uint32
}

// message is a copy of it, as the shard is now.
func (l *loaded) message(s *shard) *Message {
	m := l.Message
	m.Recipients = slices.Clone(m.Recipients)
	m.Suspended = s.suspends(l.free)
	return &m
}

// assemble makes a message of its status and birth.
func assemble(r Reader, id mail.MessageID, rows [][]byte) *loaded {
	st := parse(keys.IDKey(keys.Status, id), rows[0], describeStatus)
	if rows[1] == nil {
		panic("state: the birth of " + string(id) + " is missing")
	}
	birth := parse(keys.IDKey(keys.Message, id), rows[1], describeRecord)
	l := &loaded{free: st.free, Message: Message{
		Accepted: *birth.Event.(*event.Accepted), At: birth.At, Recipients: make([]Recipient, st.roster.Count()),
		Attempts: st.attempts, Held: st.held, HeldBy: st.heldBy, HeldWhy: st.heldWhy, Hosts: st.hosts,
	}}
	st.roster.Of(id, roster.Source{Rows: r, In: new(codec.Fields)})
	st.roster.All(func(n uint32, p *Recipient) { l.Recipients[n] = *p })
	for i, enveloped := range l.Accepted.Envelope.Recipients {
		l.Recipients[i].Recipient = enveloped
	}
	return l
}

// Released is when delivery began, or will: when it was accepted, or the later
// time that its sender asked for. Delays count from then on.
func (m *Message) Released() time.Time {
	if m.Accepted.Due.After(m.At) {
		return m.Accepted.Due
	}
	return m.At
}

// DueAt lists the recipients that may be claimed at the time now.
func (m *Message) DueAt(now time.Time) []uint32 {
	var list []uint32
	if m.Held || m.Suspended {
		return nil
	}
	for i := range m.Recipients {
		if r := &m.Recipients[i]; r.Phase == Pending && !r.Due.After(now) {
			list = append(list, uint32(i))
		}
	}
	return list
}

// Current reports whether the attempt is the current one of all of the
// recipients: what a look before the final dot must find. It reads the rows of those alone.
func Current(r Reader, id mail.MessageID, number uint32, recipients []uint32) bool {
	key := keys.IDKey(keys.Status, id)
	row := recall(r, key)[0]
	if row == nil {
		return false
	}
	st := parse(key, row, describeStatus)
	if _, ok := r.(Recaller); ok && st.roster.Chunked() {
		return Current(struct{ Reader }{r}, id, number, recipients)
	}
	st.roster.Of(id, roster.Source{Rows: r, In: new(codec.Fields)})
	for _, n := range recipients {
		if p, ok := st.roster.At(n); !ok || number == 0 || p.InFlightIn() != number {
			return false
		}
	}
	return true
}

// Due lists rows in order of due time, from the first after the row after (the
// zero row: from the start), with a due time at or before until.
func Due(r Reader, after DueRow, until time.Time, limit int) []DueRow {
	var rows []DueRow
	if limit <= 0 {
		return nil
	}
	s := readShard(r)
	indexes := s.indexes()
	for _, era := range indexes {
		left := limit
		scanDue(r, era, after, until, func(k []byte) bool {
			due, id := keys.ParseDue(k)
			rows = append(rows, DueRow{Due: due, ID: id})
			left--
			return left > 0
		})
	}
	if len(indexes) > 1 {
		slices.SortFunc(rows, func(a, b DueRow) int {
			return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID))
		})
	}
	return rows[:min(len(rows), limit)]
}

// CountDue counts the rows with a due time at or before until.
func CountDue(r Reader, until time.Time) uint64 {
	var n uint64
	s := readShard(r)
	for _, era := range s.indexes() {
		scanDue(r, era, DueRow{}, until, func([]byte) bool { n++; return true })
	}
	return n
}

func scanDue(r Reader, era uint32, from DueRow, until time.Time, f func(key []byte) bool) {
	lo := keys.DueIndex(era)
	if from != (DueRow{}) {
		lo = keys.After(keys.DueKey(era, from.Due, from.ID))
	}
	hi := keys.DueKey(era, until.Add(time.Millisecond), "")
	r.Scan(lo, hi, func(k, _ []byte) bool { return f(k) })
}

// Claims lists the attempts under way, in order of id and number.
func Claims(r Reader, f func(Claim) bool) {
	r.Scan([]byte{keys.Claim}, []byte{keys.Claim + 1}, func(k, row []byte) bool {
		c := parse(k, row, describeClaim)
		c.ID = mail.MessageID(k[1 : 1+keys.IDLength])
		c.Number = binary.BigEndian.Uint32(k[1+keys.IDLength:])
		return f(c)
	})
}

// Content returns part n of the content of an open message or of an
// unfinished upload; a message without parts has all of it as part 0.
func Content(r Reader, id mail.MessageID, n uint32) ([]byte, bool) {
	b := recall(r, keys.NumberedKey(keys.Content, id, n))[0]
	return b, b != nil
}

// History is a message's history in log order, while it is open and for as
// long as it is kept afterwards. That of an abandoned id is its Abandoned.
func History(r Reader, id mail.MessageID) ([]Record, bool) {
	var history []Record
	add := func(k, row []byte) bool {
		record := parse(k, row, describeRecord)
		record.ID = id
		history = append(history, record)
		return true
	}
	birth := keys.IDKey(keys.Message, id)
	if row, ok := r.Get(birth); ok {
		add(birth, row)
		r.Scan(keys.NumberedKey(keys.History, id, 0), keys.After(keys.NumberedKey(keys.History, id, 1<<32-1)), add)
		return history, true
	}
	for _, day := range Days(r) {
		key := keys.ClosedKey(day, id)
		if closed, ok := read(r, key, describeRecords); ok {
			for _, row := range closed.rows {
				add(key, row)
			}
			return history, true
		}
	}
	return nil, false
}

// Open calls f for the open messages with an id above after, ascending.
func Open(r Reader, above mail.MessageID, f func(mail.MessageID) bool) {
	lo := []byte{keys.Status}
	if above != "" {
		lo = keys.After(keys.IDKey(keys.Status, above))
	}
	r.Scan(lo, []byte{keys.Status + 1}, func(k, _ []byte) bool { return f(mail.MessageID(k[1:])) })
}

// Closed calls f for the messages whose history is kept, in order of the day
// they ended and of id; abandoned ids are among them.
func Closed(r Reader, f func(mail.MessageID) bool) {
	r.Scan([]byte{keys.Closed}, []byte{keys.Closed + 1}, func(k, _ []byte) bool {
		return f(mail.MessageID(k[5:]))
	})
}

// Count reads the counters.
func Count(r Reader) Counts { return readShard(r).counts }

// Empty reports whether nothing is left in the shard: no open message, no upload,
// no history and no note.
func Empty(r Reader) bool {
	s := readShard(r)
	return s.counts.Messages == 0 && s.counts.Uploads == 0 && len(s.days) == 0 && notes.Empty(r)
}

// LastTime is the newest time of any folded group: a leader stamps none below
// it (PROTOCOL 20).
func LastTime(r Reader) time.Time { return readShard(r).last }

// Days lists the days with closed history, ascending.
func Days(r Reader) []uint32 { return readShard(r).days }

func readShard(r Reader) shard {
	if s, ok := read(r, keys.ShardKey(), describeShard); ok {
		return *s
	}
	return shard{}
}

// Uploads lists the unfinished uploads, in order of id.
func Uploads(r Reader, f func(Upload) bool) {
	r.Scan([]byte{keys.Upload}, []byte{keys.Upload + 1}, func(k, row []byte) bool {
		u := parse(k, row, describeUpload)
		return f(Upload{ID: mail.MessageID(k[1:]), Renewed: u.renewed, Submitter: u.submitter})
	})
}
