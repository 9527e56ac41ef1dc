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
	// st and list are the status as changed so far; the roster's part of st is
	// filled in at the end.
	st   *status
	list *roster
	// accepted is the birth, if it is in this group; upload its content, if
	// that came in parts.
	accepted *event.Accepted
	upload   *upload
	// due, free and counts are those of the rows as they stand, shard is the
	// shard's row.
	due    time.Time
	free   uint32
	counts Counts
	shard  *shard
	// claims and records are new.
	claims  []Claim
	records [][]byte
}

// draft begins to change an open message.
func (f *folding) draft(id mail.MessageID, st *status, at time.Time) *draft {
	d := &draft{id: id, at: at, term: f.term, st: st, list: openRoster(f.r, id, st), shard: &f.shard}
	sum := d.list.summarize()
	d.due, d.free, d.counts = st.due(sum), st.free, st.counts(sum, f.shard.era)
	return d
}

// accept begins a message.
func (f *folding) accept(a *event.Accepted, at time.Time) (*draft, Result) {
	inline := a.Parts == 0
	switch {
	case a.ID == "", len(a.Envelope.Recipients) == 0, a.Size < 0, a.Parts > maxParts,
		inline && (a.Size != int64(len(a.Content)) || a.Size > event.MaxPart),
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
	d := &draft{id: a.ID, at: at, term: f.term, accepted: a, upload: u, shard: &f.shard}
	d.st = &status{size: a.Size, parts: max(a.Parts, 1)}
	if f.shard.suspends(0) {
		d.st.free = f.shard.era
	}
	d.list = openRoster(f.r, a.ID, d.st)
	for range a.Envelope.Recipients {
		d.list.add(Recipient{Due: orAt(a.Due, at)})
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
	sum := d.list.summarize()
	f.shard.counts.Subtract(d.counts)
	f.claims(d)
	if sum.open == 0 {
		f.end(d)
		return
	}
	f.shard.counts.Add(d.st.counts(sum, f.shard.era))
	for _, row := range d.records {
		f.w.Set(recordKey(d.id, d.st.records), row)
		d.st.records++
	}
	f.reschedule(d, d.st.due(sum))
	d.list.write(f.w, d.st)
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

// claims brings the claims index up to date: a row has the recipients that are
// still in flight.
func (f *folding) claims(d *draft) {
	for _, l := range d.list.landings() {
		key := numberedKey(prefixClaim, d.id, l.number)
		c, ok := read(f.r, key, describeClaim)
		if !ok {
			panic("state: a claim of " + string(d.id) + " is missing")
		}
		c.Recipients = slices.DeleteFunc(c.Recipients, func(n uint32) bool {
			return slices.Contains(l.recipients, n)
		})
		f.putClaim(key, c)
	}
	for _, c := range d.claims {
		c.Recipients = slices.DeleteFunc(c.Recipients, func(n uint32) bool {
			r, _ := d.list.at(n)
			return r.flight() != c.Number
		})
		f.putClaim(numberedKey(prefixClaim, d.id, c.Number), &c)
	}
}

func (f *folding) putClaim(key []byte, c *Claim) {
	if len(c.Recipients) == 0 {
		f.w.Delete(key)
		return
	}
	f.w.Set(key, encode(c, describeClaim))
}

// reschedule moves the message's row in the due index; zero: it has none.
func (f *folding) reschedule(d *draft, due time.Time) {
	if due.Equal(d.due) && d.st.free == d.free {
		return
	}
	if !d.due.IsZero() {
		f.w.Delete(dueKey(d.free, d.due, d.id))
	}
	if !due.IsZero() {
		f.w.Set(dueKey(d.st.free, due, d.id), nil)
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
	d.list.remove(f.w)
	f.reschedule(d, time.Time{})
	f.w.Delete(idKey(prefixStatus, d.id))
}

// bury puts a history under the day of its end or, where clocks disagree, the
// later one on which its id was drawn.
func (f *folding) bury(id mail.MessageID, at time.Time, rows [][]byte) {
	day := max(dayOf(at), dayOf(id.Time()))
	f.w.Set(closedKey(day, id), encode(&records{rows}, describeRecords))
	if i, ok := slices.BinarySearch(f.shard.days, day); !ok {
		f.shard.days = slices.Insert(f.shard.days, i, day)
	}
}

// due is under what time the message stands in the due index; zero: it has no
// row.
func (s *status) due(sum summary) time.Time {
	if s.held {
		return time.Time{}
	}
	return sum.due
}

// counts is what the message adds to the counters in the era.
func (s *status) counts(sum summary, era uint32) Counts {
	c := Counts{Messages: 1, Held: one(s.held), InFlight: one(sum.flying > 0), Content: uint64(s.size)}
	if era > 0 && s.free == era {
		c.Free, c.FreeHeld = 1, c.Held
	}
	return c
}

func one(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
