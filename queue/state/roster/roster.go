package roster

import (
	"fmt"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/event/codec"
	"quorumta/queue/state/keys"
)

// An event costs the rows of the recipients it names, not of all the recipients
// of a mailing: ChunkSize recipients share a row, and the summaries of
// SectionSize recipients share another. They may never change.
const (
	ChunkSize   = 16
	SectionSize = 16 * ChunkSize
)

// Roster is the recipients of an open message. Up to ChunkSize of them are part
// of the status row. More are in chunks, which have rows of their own, as have
// the sections with the chunks' summaries; the status row has the summaries of
// the sections. Rows are read when needed.
type Roster struct {
	rows  Source
	id    mail.MessageID
	count uint32
	// few are all recipients if they fit into a chunk; otherwise sections are.
	few      []seat
	sections []section
}

// Reader is where rows are read.
type Reader interface {
	Get(key []byte) (value []byte, ok bool)
}

// Source is where rows are read; In is the memory for it.
type Source struct {
	Rows Reader
	In   *codec.Fields
}

// Of makes an empty roster of a message, or gives one that was read the way to
// the rest of its rows.
func (l *Roster) Of(id mail.MessageID, from Source) { l.id, l.rows = id, from }

// Expect makes room for some recipients.
func (l *Roster) Expect(n int) { l.few = make([]seat, 0, min(n, ChunkSize)) }

// Count is how many recipients there are.
func (l *Roster) Count() uint32 { return l.count }

// Chunked reports whether there are rows beside the status row.
func (l *Roster) Chunked() bool { return len(l.sections) > 0 }

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
	Summary
	chunks []chunk
}

// chunk is recipients that share a row, nil until it is read. The summary
// counts until then.
type chunk struct {
	Summary
	seats []seat
}

// Summary is what is asked of all recipients at once.
type Summary struct {
	// Open and Flying count recipients.
	Open, Flying uint32
	// Due is the earliest due time of those pending; zero if none is.
	Due time.Time
}

func describeSummary(f *codec.Fields, s *Summary) {
	f.Uint32(1, &s.Open)
	f.Uint32(2, &s.Flying)
	f.Time(3, &s.Due)
}

// DescribeHead describes the part of the status row that is fields 9 and 10.
func (l *Roster) DescribeHead(f *codec.Fields) {
	f.Uint32(9, &l.count)
	codec.List(f, 10, &l.few, describeSeat)
}

// DescribeTail describes field 13 of the status row.
func (l *Roster) DescribeTail(f *codec.Fields) {
	codec.List(f, 13, &l.sections, func(f *codec.Fields, s *section) { describeSummary(f, &s.Summary) })
}

func describeSection(f *codec.Fields, list *[]chunk) {
	codec.List(f, 1, list, func(f *codec.Fields, c *chunk) { describeSummary(f, &c.Summary) })
}

func describeChunk(f *codec.Fields, list *[]seat) { codec.List(f, 1, list, describeSeat) }

func describeSeat(f *codec.Fields, s *seat) {
	describeProgress(f, &s.Recipient)
	if f.Reading() {
		s.flight = s.InFlightIn()
	}
}

func describeProgress(f *codec.Fields, r *Recipient) {
	codec.Enum(f, 1, &r.Phase, Expanded)
	f.Uint32(2, &r.Attempt)
	f.Uint32(3, &r.Tries)
	f.Time(4, &r.Due)
	f.Time(5, &r.FirstFailed)
	f.Time(6, &r.LastFailed)
	codec.Enum(f, 7, &r.Error, event.NewestError)
	codec.Message(f, 8, &r.Reply, event.DescribeReply)
	codec.String(f, 9, &r.Host)
	f.Uint32(10, &r.Doubts)
	f.Uint32(11, &r.Warned)
	codec.Message(f, 12, &r.Recipient, event.DescribeRecipient)
	// Level 3 of the format:
	f.Uint32(13, &r.Parent)
	codec.String(f, 14, &r.Item)
	describeExpansion(f, r)
	f.Bool(16, &r.Apart)
}

// describeExpansion costs nothing where there is none, as nearly always.
func describeExpansion(f *codec.Fields, r *Recipient) {
	if f.Reading() && f.Next() == 15 {
		r.Expansion = new(Expansion)
	}
	if r.Expansion != nil {
		codec.Message(f, 15, r.Expansion, func(f *codec.Fields, e *Expansion) {
			codec.String(f, 1, &e.Router)
			codec.Message(f, 2, &e.Handling, event.DescribeHandling)
		})
	}
}

// InFlightIn is the number of the attempt that the recipient is in, 0 for none.
func (r *Recipient) InFlightIn() uint32 {
	if r.Phase == InFlight {
		return r.Attempt
	}
	return 0
}

// section is the section of the n-th recipient, read.
func (l *Roster) section(n uint32) *section {
	s := &l.sections[n/SectionSize]
	if s.chunks == nil {
		l.read(keys.Section, n/SectionSize, func(row []byte) error {
			return codec.Get(l.rows.In, row, &s.chunks, describeSection)
		})
	}
	return s
}

// chunk is the chunk of the n-th recipient, read.
func (l *Roster) chunk(n uint32) *chunk {
	c := &l.section(n).chunks[n%SectionSize/ChunkSize]
	if c.seats == nil {
		l.read(keys.Chunk, n/ChunkSize, func(row []byte) error {
			return codec.Get(l.rows.In, row, &c.seats, describeChunk)
		})
	}
	return c
}

func (l *Roster) read(prefix byte, n uint32, get func(row []byte) error) {
	key := keys.NumberedKey(prefix, l.id, n)
	row, ok := l.rows.Rows.Get(key)
	if !ok {
		panic("state: recipients of " + string(l.id) + " are missing")
	}
	if err := get(row); err != nil {
		panic(fmt.Sprintf("state: row %q cannot be read: %v", key, err))
	}
}

// At is the n-th recipient, to be looked at or changed.
func (l *Roster) At(n uint32) (*Recipient, bool) {
	switch {
	case n >= l.count:
		return nil, false
	case l.sections == nil:
		return &l.few[n].Recipient, true
	}
	return &l.chunk(n).seats[n%ChunkSize].Recipient, true
}

// Left reports whether the n-th recipient has left the attempt, as far as it
// was looked at.
func (l *Roster) Left(n, number uint32) bool {
	if l.sections == nil {
		return l.few[n].InFlightIn() != number
	}
	s := &l.sections[n/SectionSize]
	if s.chunks == nil {
		return false
	}
	seats := s.chunks[n%SectionSize/ChunkSize].seats
	return seats != nil && seats[n%ChunkSize].InFlightIn() != number
}

// All calls f for every recipient.
func (l *Roster) All(f func(n uint32, r *Recipient)) {
	for n := range l.count {
		r, _ := l.At(n)
		f(n, r)
	}
}

// Add appends a recipient.
func (l *Roster) Add(r Recipient) {
	n := l.count
	l.count++
	if n < ChunkSize {
		l.few = append(l.few, seat{Recipient: r})
		return
	}
	if n == ChunkSize {
		l.sections, l.few = []section{{chunks: []chunk{{seats: l.few}}}}, nil
	}
	if n%SectionSize == 0 {
		l.sections = append(l.sections, section{chunks: []chunk{}})
	}
	if s := l.section(n); n%ChunkSize == 0 {
		s.chunks = append(s.chunks, chunk{seats: make([]seat, 0, ChunkSize)})
	}
	c := l.chunk(n)
	c.seats = append(c.seats, seat{Recipient: r})
}

// Summarize brings the summaries up to date and adds them up.
func (l *Roster) Summarize() Summary {
	total := summarize(l.few)
	for i := range l.sections {
		s := &l.sections[i]
		if s.chunks != nil {
			s.Summary = Summary{}
		}
		for j := range s.chunks {
			c := &s.chunks[j]
			if c.seats != nil {
				c.Summary = summarize(c.seats)
			}
			s.add(c.Summary)
		}
		total.add(s.Summary)
	}
	return total
}

func summarize(list []seat) Summary {
	var s Summary
	for i := range list {
		switch r := &list[i]; r.Phase {
		case Pending:
			s.add(Summary{Open: 1, Due: r.Due})
		case InFlight:
			s.add(Summary{Open: 1, Flying: 1})
		}
	}
	return s
}

func (s *Summary) add(o Summary) {
	s.Open += o.Open
	s.Flying += o.Flying
	if s.Due.IsZero() || !o.Due.IsZero() && o.Due.Before(s.Due) {
		s.Due = o.Due
	}
}

// Landed calls f for the numbers of the attempts that recipients were in when
// they were read, and are in no more; it may call it several times for one.
func (l *Roster) Landed(f func(number uint32)) {
	landed := func(seats []seat) {
		for i := range seats {
			if s := &seats[i]; s.flight != 0 && s.flight != s.InFlightIn() {
				f(s.flight)
			}
		}
	}
	landed(l.few)
	for i := range l.sections {
		for _, c := range l.sections[i].chunks {
			landed(c.seats)
		}
	}
}

// Writer takes rows.
type Writer interface {
	Set(key, value []byte)
	Delete(key []byte)
}

// Write writes the rows that were read; those of the status row are not among
// them. Keys and values are the Writer's during its calls only.
func (l *Roster) Write(w Writer, key *keys.Buffer, out *codec.Fields) {
	for i := range l.sections {
		s := &l.sections[i]
		if s.chunks == nil {
			continue
		}
		for j := range s.chunks {
			if c := &s.chunks[j]; c.seats != nil {
				at := key.Numbered(keys.Chunk, l.id, uint32(i*SectionSize/ChunkSize+j))
				w.Set(at, codec.Put(out, &c.seats, describeChunk))
			}
		}
		at := key.Numbered(keys.Section, l.id, uint32(i))
		w.Set(at, codec.Put(out, &s.chunks, describeSection))
	}
}

// Erase deletes those rows.
func (l *Roster) Erase(w Writer, key *keys.Buffer) {
	for i := range l.sections {
		w.Delete(key.Numbered(keys.Section, l.id, uint32(i)))
	}
	for n := uint32(0); l.sections != nil && n < l.count; n += ChunkSize {
		w.Delete(key.Numbered(keys.Chunk, l.id, n/ChunkSize))
	}
}
