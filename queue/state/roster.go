package state

import (
	"slices"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/event/codec"
)

// chunkSize is how many recipients share a row: an event costs the rows of the
// recipients it names, not of all the recipients of a mailing. It may never
// change.
const chunkSize = 16

// roster is the recipients of an open message, in chunks. The first is part of
// the status row; the others have rows of their own, read when needed, and a
// summary in the status row.
type roster struct {
	r      Reader
	id     mail.MessageID
	count  uint32
	chunks []chunk
}

type chunk struct {
	// recipients are nil until they are read. Those of the envelope lack their
	// addresses, which are in the Accepted.
	recipients []Recipient
	// flights are the numbers of the attempts that the recipients were in when
	// they were read, 0 for none.
	flights []uint32
	// summary is that of the row; it counts while the chunk is not read.
	summary summary
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

func describeChunk(f *codec.Fields, list *[]Recipient) {
	codec.List(f, 1, list, describeProgress)
}

// openRoster is the roster that the status row tells of.
func openRoster(r Reader, id mail.MessageID, st *status) *roster {
	l := &roster{r: r, id: id, count: st.recipients, chunks: make([]chunk, 1+len(st.rest))}
	l.chunks[0].read(st.first)
	for i, s := range st.rest {
		l.chunks[i+1].summary = s
	}
	return l
}

func (c *chunk) read(list []Recipient) {
	c.recipients = list
	c.flights = make([]uint32, len(list))
	for i := range list {
		c.flights[i] = list[i].flight()
	}
}

// flight is the number of the attempt that the recipient is in, 0 for none.
func (r *Recipient) flight() uint32 {
	if r.Phase == InFlight {
		return r.Attempt
	}
	return 0
}

// at is the n-th recipient, to be looked at or changed.
func (l *roster) at(n uint32) (*Recipient, bool) {
	if n >= l.count {
		return nil, false
	}
	c := &l.chunks[n/chunkSize]
	if c.recipients == nil {
		key := numberedKey(prefixChunk, l.id, n/chunkSize)
		list, ok := read(l.r, key, describeChunk)
		if !ok {
			panic("state: recipients of " + string(l.id) + " are missing")
		}
		c.read(*list)
	}
	return &c.recipients[n%chunkSize], true
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
	if l.count%chunkSize == 0 && l.count > 0 {
		l.chunks = append(l.chunks, chunk{recipients: []Recipient{}})
	} else if l.count > 0 {
		l.at(l.count - 1)
	}
	c := &l.chunks[l.count/chunkSize]
	c.recipients = append(c.recipients, r)
	c.flights = append(c.flights, 0)
	l.count++
}

// summarize brings the summaries up to date and adds them up.
func (l *roster) summarize() summary {
	var total summary
	for i := range l.chunks {
		c := &l.chunks[i]
		if c.recipients != nil {
			c.summary = summarize(c.recipients)
		}
		total.open += c.summary.open
		total.flying += c.summary.flying
		total.due = earlier(total.due, c.summary.due)
	}
	return total
}

func summarize(list []Recipient) summary {
	var s summary
	for i := range list {
		switch r := &list[i]; r.Phase {
		case Pending:
			s.open++
			s.due = earlier(s.due, r.Due)
		case InFlight:
			s.open++
			s.flying++
		}
	}
	return s
}

// earlier is the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// landed are the recipients that have left an attempt since they were read.
type landed struct {
	number     uint32
	recipients []uint32
}

// landings are the attempts that recipients have left.
func (l *roster) landings() []landed {
	var list []landed
	for i := range l.chunks {
		c := &l.chunks[i]
		for j, number := range c.flights {
			if number == 0 || c.recipients[j].flight() == number {
				continue
			}
			k := slices.IndexFunc(list, func(a landed) bool { return a.number == number })
			if k < 0 {
				k = len(list)
				list = append(list, landed{number: number})
			}
			list[k].recipients = append(list[k].recipients, uint32(i*chunkSize+j))
		}
	}
	return list
}

// write writes the chunks that were read, the first one into the status, which
// takes the summaries of the others.
func (l *roster) write(w Writer, st *status) {
	st.recipients, st.first, st.rest = l.count, l.chunks[0].recipients, nil
	for i := range l.chunks[1:] {
		c := &l.chunks[i+1]
		st.rest = append(st.rest, c.summary)
		if c.recipients != nil {
			w.Set(numberedKey(prefixChunk, l.id, uint32(i+1)), encode(&c.recipients, describeChunk))
		}
	}
}

// remove deletes the chunks' rows.
func (l *roster) remove(w Writer) {
	for i := range l.chunks[1:] {
		w.Delete(numberedKey(prefixChunk, l.id, uint32(i+1)))
	}
}
