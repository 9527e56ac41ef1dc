package state

import (
	"slices"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
)

// draft is a message as a group changes it. Nothing is written before the
// whole group is found good.
type draft struct {
	id   mail.MessageID
	at   time.Time
	term uint64
	// st is the status as changed so far.
	st *status
	// accepted is the birth, if it is in this group; upload its content, if
	// that came in parts.
	accepted *event.Accepted
	upload   *upload
	// due, flights and counts are those of the rows as they stand.
	due     time.Time
	flights []uint32
	counts  Counts
	// claims and records are new.
	claims  []Claim
	records [][]byte
}

// draft begins to change an open message.
func (f *folding) draft(id mail.MessageID, st *status, at time.Time) *draft {
	return &draft{
		id: id, at: at, term: f.term, st: st,
		due: st.due(), flights: st.flights(), counts: st.counts(),
	}
}

// accept begins a message.
func (f *folding) accept(a *event.Accepted, at time.Time) (*draft, Result) {
	inline := a.Parts == 0
	switch {
	case a.ID == "", len(a.Envelope.Recipients) == 0, a.Size < 0, a.Parts > maxParts,
		inline && a.Size != int64(len(a.Content)),
		!inline && len(a.Content) != 0:
		return nil, Malformed
	}
	if who, known := f.known(a.ID); known {
		return nil, who.meetsAccepted(a)
	}
	u, ok := read(f.r, idKey(prefixUpload, a.ID), describeUpload)
	switch {
	case ok && (inline || u.submitter != a.Submitter):
		return nil, Conflict
	case !inline && (!ok || !u.complete(a.Parts, a.Size)):
		return nil, Missing
	}
	d := &draft{id: a.ID, at: at, term: f.term, accepted: a, upload: u}
	d.st = &status{size: a.Size, parts: max(a.Parts, 1)}
	d.st.recipients = make([]Recipient, len(a.Envelope.Recipients))
	for i := range d.st.recipients {
		d.st.recipients[i].Due = orAt(a.Due, at)
	}
	d.record(withoutContent(a))
	return d, Applied
}

// meetsAccepted is the verdict on an Accepted of a known id: a repetition, if
// submitter and digest agree.
func (i identity) meetsAccepted(a *event.Accepted) Result {
	switch {
	case i.abandoned && i.submitter == a.Submitter:
		return Abandoned
	case i.submitter == a.Submitter && i.digest == a.Digest:
		return Duplicate
	}
	return Conflict
}

func withoutContent(a *event.Accepted) *event.Accepted {
	bare := *a
	bare.Content = nil
	return &bare
}

// orAt is t, or at where t was left out.
func orAt(t, at time.Time) time.Time {
	if t.IsZero() {
		return at
	}
	return t
}

func (d *draft) born() bool { return d.accepted != nil }

// record adds an event to the history.
func (d *draft) record(e event.Event) {
	row := encode(&Record{At: d.at, Term: d.term, Event: e}, describeRecord)
	d.records = append(d.records, row)
}

// commit writes the draft. Its rows are written once, whatever the number of
// events; a message without an open recipient ends here.
func (f *folding) commit(d *draft) {
	if d.born() {
		f.place(d)
	}
	f.shard.counts.subtract(d.counts)
	if !d.st.open() {
		f.end(d)
		return
	}
	f.shard.counts.add(d.st.counts())
	for _, row := range d.records {
		f.w.Set(recordKey(d.id, d.st.records), row)
		d.st.records++
	}
	f.claims(d)
	f.reschedule(d, d.st.due())
	f.w.Set(idKey(prefixStatus, d.id), encode(d.st, describeStatus))
}

// recordKey is the key of a record of an open message.
func recordKey(id mail.MessageID, n uint32) []byte {
	if n == 0 {
		return idKey(prefixMessage, id)
	}
	return numberedKey(prefixHistory, id, n)
}

// place gives a new message its content.
func (f *folding) place(d *draft) {
	if d.upload == nil {
		f.w.Set(numberedKey(prefixContent, d.id, 0), d.accepted.Content)
		return
	}
	f.w.Delete(idKey(prefixUpload, d.id))
	f.shard.counts.Uploads--
}

// claims brings the claims index up to date.
func (f *folding) claims(d *draft) {
	flying := d.st.flights()
	for _, number := range d.flights {
		if !slices.Contains(flying, number) {
			f.w.Delete(numberedKey(prefixClaim, d.id, number))
		}
	}
	for _, c := range d.claims {
		if slices.Contains(flying, c.Number) {
			f.w.Set(numberedKey(prefixClaim, d.id, c.Number), encode(&c, describeClaim))
		}
	}
}

// reschedule moves the message's row in the due index; zero: it has none.
func (f *folding) reschedule(d *draft, due time.Time) {
	if due.Equal(d.due) {
		return
	}
	if !d.due.IsZero() {
		f.w.Delete(dueKey(d.due, d.id))
	}
	if !due.IsZero() {
		f.w.Set(dueKey(due, d.id), nil)
	}
}

// end closes a message: its history goes under the day, everything else of it
// goes at once.
func (f *folding) end(d *draft) {
	rows := make([][]byte, 0, int(d.st.records)+len(d.records))
	for n := range d.st.records {
		key := recordKey(d.id, n)
		row, ok := f.r.Get(key)
		if !ok {
			panic("state: a record of " + string(d.id) + " is missing")
		}
		rows = append(rows, row)
		f.w.Delete(key)
	}
	f.bury(d.id, d.at, append(rows, d.records...))
	for n := range d.st.parts {
		f.w.Delete(numberedKey(prefixContent, d.id, n))
	}
	for _, number := range d.flights {
		f.w.Delete(numberedKey(prefixClaim, d.id, number))
	}
	f.reschedule(d, time.Time{})
	f.w.Delete(idKey(prefixStatus, d.id))
}

// bury puts a history under the day.
func (f *folding) bury(id mail.MessageID, at time.Time, rows [][]byte) {
	day := dayOf(at)
	f.w.Set(closedKey(day, id), encode(&records{rows}, describeRecords))
	if i, ok := slices.BinarySearch(f.shard.days, day); !ok {
		f.shard.days = slices.Insert(f.shard.days, i, day)
	}
}

func (c *Counts) add(o Counts) {
	c.Messages += o.Messages
	c.Held += o.Held
	c.InFlight += o.InFlight
	c.Content += o.Content
}

func (c *Counts) subtract(o Counts) {
	c.Messages -= o.Messages
	c.Held -= o.Held
	c.InFlight -= o.InFlight
	c.Content -= o.Content
}
