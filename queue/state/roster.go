package state

import (
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/event/codec"
	"quorumta/queue/state/keys"
)

// An event costs the rows of the recipients it names, not of all the recipients
// of a mailing: chunkSize recipients share a row, and the summaries of
// sectionSize recipients share another. They may never change.
const (
	chunkSize   = 16
	sectionSize = 16 * chunkSize
)

// roster is the recipients of an open message. Up to chunkSize of them are part
// of the status row. More are in chunks, which have rows of their own, as have
// the sections with the chunks' summaries; the status row has the summaries of
// the sections. Rows are read when needed.
type roster struct {
	rows  source
	id    mail.MessageID
	count uint32
	// few are all recipients if they fit into a chunk; otherwise sections are.
	few      []seat
	sections []section
}

// source is where rows are read; in is the memory for it.
type source struct {
	r  Reader
	in *codec.Fields
}

// seat is a recipient in a roster. That of one of the envelope lacks its
// address, which is in the Accepted.
type seat struct {
	Recipient
	// flight is the number of the attempt that the recipient was in when it was
	// read, 0 for none.
	flight uint32
}

// section is the chunks that share a row, nil until it is read. The summary
// counts until then.
type section struct {
	summary
	chunks []chunk
}

// chunk is recipients that share a row, nil until it is read. The summary
// counts until then.
type chunk struct {
	summary
	seats []seat
}

// summary is what is asked of all recipients at once.
type summary struct {
	// open and flying count recipients.
	open, flying uint32
	// due is the earliest due time of those pending; zero if none is.
	due time.Time
}

func describeSummary(f *codec.Fields, s *summary) {
	f.Uint32(1, &s.open)
	f.Uint32(2, &s.flying)
	f.Time(3, &s.due)
}

func describeSections(f *codec.Fields, n codec.Number, list *[]section) {
	codec.List(f, n, list, func(f *codec.Fields, s *section) { describeSummary(f, &s.summary) })
}

func describeSection(f *codec.Fields, list *[]chunk) {
	codec.List(f, 1, list, func(f *codec.Fields, c *chunk) { describeSummary(f, &c.summary) })
}

func describeChunk(f *codec.Fields, list *[]seat) { codec.List(f, 1, list, describeSeat) }

func describeSeat(f *codec.Fields, s *seat) {
	describeProgress(f, &s.Recipient)
	if f.Reading() {
		s.flight = s.inFlight()
	}
}

func describeProgress(f *codec.Fields, r *Recipient) {
	codec.Enum(f, 1, &r.Phase, Expanded)
	f.Uint32(2, &r.Attempt)
	f.Uint32(3, &r.Tries)
	f.Time(4, &r.Due)
	f.Time(5, &r.FirstFailed)
	f.Time(6, &r.LastFailed)
	codec.Enum(f, 7, &r.Error, event.ErrorInternal)
	codec.Message(f, 8, &r.Reply, event.DescribeReply)
	codec.String(f, 9, &r.Host)
	f.Uint32(10, &r.Doubts)
	f.Uint32(11, &r.Warned)
	codec.Message(f, 12, &r.Recipient, event.DescribeRecipient)
}

// inFlight is the number of the attempt that the recipient is in, 0 for none.
func (r *Recipient) inFlight() uint32 {
	if r.Phase == InFlight {
		return r.Attempt
	}
	return 0
}

// section is the section of the n-th recipient, read.
func (l *roster) section(n uint32) *section {
	s := &l.sections[n/sectionSize]
	if s.chunks == nil {
		l.read(keys.Section, n/sectionSize, func(row []byte) error {
			return codec.Get(l.rows.in, row, &s.chunks, describeSection)
		})
	}
	return s
}

// chunk is the chunk of the n-th recipient, read.
func (l *roster) chunk(n uint32) *chunk {
	c := &l.section(n).chunks[n%sectionSize/chunkSize]
	if c.seats == nil {
		l.read(keys.Chunk, n/chunkSize, func(row []byte) error {
			return codec.Get(l.rows.in, row, &c.seats, describeChunk)
		})
	}
	return c
}

func (l *roster) read(prefix byte, n uint32, get func(row []byte) error) {
	key := keys.NumberedKey(prefix, l.id, n)
	row, ok := l.rows.r.Get(key)
	if !ok {
		panic("state: recipients of " + string(l.id) + " are missing")
	}
	mustRead(key, get(row))
}

// at is the n-th recipient, to be looked at or changed.
func (l *roster) at(n uint32) (*Recipient, bool) {
	switch {
	case n >= l.count:
		return nil, false
	case l.sections == nil:
		return &l.few[n].Recipient, true
	}
	return &l.chunk(n).seats[n%chunkSize].Recipient, true
}

// left reports whether the n-th recipient has left the attempt, as far as it
// was looked at.
func (l *roster) left(n, number uint32) bool {
	if l.sections == nil {
		return l.few[n].inFlight() != number
	}
	s := &l.sections[n/sectionSize]
	if s.chunks == nil {
		return false
	}
	seats := s.chunks[n%sectionSize/chunkSize].seats
	return seats != nil && seats[n%chunkSize].inFlight() != number
}

// all calls f for every recipient.
func (l *roster) all(f func(n uint32, r *Recipient)) {
	for n := range l.count {
		r, _ := l.at(n)
		f(n, r)
	}
}

// add appends a recipient.
func (l *roster) add(r Recipient) {
	n := l.count
	l.count++
	if n < chunkSize {
		l.few = append(l.few, seat{Recipient: r})
		return
	}
	if n == chunkSize {
		l.sections, l.few = []section{{chunks: []chunk{{seats: l.few}}}}, nil
	}
	if n%sectionSize == 0 {
		l.sections = append(l.sections, section{chunks: []chunk{}})
	}
	if s := l.section(n); n%chunkSize == 0 {
		s.chunks = append(s.chunks, chunk{seats: make([]seat, 0, chunkSize)})
	}
	c := l.chunk(n)
	c.seats = append(c.seats, seat{Recipient: r})
}

// summarize brings the summaries up to date and adds them up.
func (l *roster) summarize() summary {
	total := summarize(l.few)
	for i := range l.sections {
		s := &l.sections[i]
		if s.chunks != nil {
			s.summary = summary{}
		}
		for j := range s.chunks {
			c := &s.chunks[j]
			if c.seats != nil {
				c.summary = summarize(c.seats)
			}
			s.add(c.summary)
		}
		total.add(s.summary)
	}
	return total
}

func summarize(list []seat) summary {
	var s summary
	for i := range list {
		switch r := &list[i]; r.Phase {
		case Pending:
			s.add(summary{open: 1, due: r.Due})
		case InFlight:
			s.add(summary{open: 1, flying: 1})
		}
	}
	return s
}

func (s *summary) add(o summary) {
	s.open += o.open
	s.flying += o.flying
	if s.due.IsZero() || !o.due.IsZero() && o.due.Before(s.due) {
		s.due = o.due
	}
}

// looked calls f for the recipients that were looked at.
func (l *roster) looked(f func(s *seat)) {
	for i := range l.few {
		f(&l.few[i])
	}
	for i := range l.sections {
		for _, c := range l.sections[i].chunks {
			for j := range c.seats {
				f(&c.seats[j])
			}
		}
	}
}

// write writes the rows that were read; those of the status row are not among
// them.
func (f *folding) write(l *roster) {
	for i := range l.sections {
		s := &l.sections[i]
		if s.chunks == nil {
			continue
		}
		for j := range s.chunks {
			if c := &s.chunks[j]; c.seats != nil {
				key := f.key.Numbered(keys.Chunk, l.id, uint32(i*sectionSize/chunkSize+j))
				f.w.Set(key, codec.Put(&f.out, &c.seats, describeChunk))
			}
		}
		key := f.key.Numbered(keys.Section, l.id, uint32(i))
		f.w.Set(key, codec.Put(&f.out, &s.chunks, describeSection))
	}
}

// erase deletes those rows.
func (f *folding) erase(l *roster) {
	for i := range l.sections {
		f.w.Delete(f.key.Numbered(keys.Section, l.id, uint32(i)))
	}
	for n := uint32(0); l.sections != nil && n < l.count; n += chunkSize {
		f.w.Delete(f.key.Numbered(keys.Chunk, l.id, n/chunkSize))
	}
}
