package state

import (
	"slices"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/event/codec"
	"quorumta/queue/state/keys"
	"quorumta/queue/state/roster"
)

// draft is a message as a group changes it. Nothing is written before the
// whole group is found good.
type draft struct {
	f  *folding
	id mail.MessageID
	at time.Time
	// st is the status as changed so far.
	st status
	// accepted is the birth, if it is in this group; upload its content, if
	// that came in parts.
	accepted *event.Accepted
	upload   *upload
	// due, free and counts are those of the rows as they stand.
	due    time.Time
	free   uint32
	counts Counts
	// claims and records are new.
	claims  []*event.Claimed
	records [][]byte
}

// draft begins to change a message, if it is open.
func (f *folding) draft(id mail.MessageID, at time.Time) (*draft, bool) {
	key := f.key.ID(keys.Status, id)
	row, ok := f.r.Get(key)
	if !ok {
		return nil, false
	}
	d := f.empty(id, at)
	mustRead(key, codec.Get(&f.in, row, &d.st, describeStatus))
	sum := d.st.roster.Summarize()
	d.due, d.free, d.counts = d.st.due(sum), d.st.free, d.st.counts(sum, f.shard.era)
	return d, true
}

func (f *folding) empty(id mail.MessageID, at time.Time) *draft {
	d := &draft{f: f, id: id, at: at}
	d.st.roster.Of(id, roster.Source{Rows: f.r, In: &f.in})
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
	u, ok := read(f.r, f.key.ID(keys.Upload, a.ID), describeUpload)
	switch {
	case ok && (inline || u.submitter != a.Submitter):
		return nil, Conflict
	case !inline && (!ok || !u.complete(a.Parts, a.Size)):
		return nil, Missing
	}
	d := f.empty(a.ID, at)
	d.accepted, d.upload = a, u
	d.st.size, d.st.parts = a.Size, max(a.Parts, 1)
	if f.shard.suspends(0) {
		d.st.free = f.shard.era
	}
	d.st.roster.Expect(len(a.Envelope.Recipients))
	for range a.Envelope.Recipients {
		d.st.roster.Add(Recipient{Due: orAt(a.Due, at)})
	}
	f.bare = *a
	f.bare.Content = nil
	d.records = append(d.records, f.record(at, &f.bare))
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

// orAt is t, or at where t was left out.
func orAt(t, at time.Time) time.Time {
	if t.IsZero() {
		return at
	}
	return t
}

func (d *draft) born() bool { return d.accepted != nil }

// record is the row of a record of the history.
func (f *folding) record(at time.Time, e event.Event) []byte {
	f.entry = Record{At: at, Term: f.term, Event: e}
	return codec.Put(&f.out, &f.entry, describeRecord)
}

// commit writes the draft. Its rows are written once, whatever the number of
// events; a message without an open recipient ends here.
func (f *folding) commit(d *draft) {
	if d.born() {
		f.place(d)
	}
	sum := d.st.roster.Summarize()
	f.shard.counts.Subtract(d.counts)
	f.land(d, sum)
	f.fly(d)
	if sum.Open == 0 {
		f.end(d)
		return
	}
	f.shard.counts.Add(d.st.counts(sum, f.shard.era))
	for _, row := range d.records {
		f.w.Set(f.key.Record(d.id, d.st.records), row)
		d.st.records++
	}
	f.reschedule(d, d.st.due(sum))
	d.st.roster.Write(f.w, &f.key, &f.out)
	f.w.Set(f.key.ID(keys.Status, d.id), codec.Put(&f.out, &d.st, describeStatus))
}

// place gives a new message its content.
func (f *folding) place(d *draft) {
	if d.upload == nil {
		f.w.Set(f.key.Numbered(keys.Content, d.id, 0), d.accepted.Content)
		return
	}
	f.w.Delete(f.key.ID(keys.Upload, d.id))
	f.shard.counts.Uploads--
}

// land takes recipients that have left their attempts out of the claims index,
// whose rows have those that are still in flight.
func (f *folding) land(d *draft, sum roster.Summary) {
	f.flights = f.flights[:0]
	d.st.roster.Landed(func(number uint32) {
		if !slices.Contains(f.flights, number) {
			f.flights = append(f.flights, number)
		}
	})
	for _, number := range f.flights {
		f.claim = Claim{}
		if sum.Flying > 0 { // else all that flew have landed, and the row goes unread
			key := f.key.Numbered(keys.Claim, d.id, number)
			row, ok := f.r.Get(key)
			if !ok {
				panic("state: a claim of " + string(d.id) + " is missing")
			}
			mustRead(key, codec.Get(&f.in, row, &f.claim, describeClaim))
		}
		f.putClaim(d, number)
	}
}

// fly puts the new claims into the index.
func (f *folding) fly(d *draft) {
	for _, e := range d.claims {
		f.claim = Claim{Recipients: slices.Clone(e.Recipients), By: e.By, Term: f.term, At: d.at}
		f.putClaim(d, e.Number)
	}
}

// putClaim writes the row of the claim at hand, which lists too many.
func (f *folding) putClaim(d *draft, number uint32) {
	f.claim.Recipients = slices.DeleteFunc(f.claim.Recipients, func(n uint32) bool {
		return d.st.roster.Left(n, number)
	})
	key := f.key.Numbered(keys.Claim, d.id, number)
	if len(f.claim.Recipients) == 0 {
		f.w.Delete(key)
		return
	}
	f.w.Set(key, codec.Put(&f.out, &f.claim, describeClaim))
}

// reschedule moves the message's row in the due index; zero: it has none.
func (f *folding) reschedule(d *draft, due time.Time) {
	if due.Equal(d.due) && d.st.free == d.free {
		return
	}
	if !d.due.IsZero() {
		f.w.Delete(f.key.Due(d.free, d.due, d.id))
	}
	if !due.IsZero() {
		f.w.Set(f.key.Due(d.st.free, due, d.id), nil)
	}
}

// end closes a message: its history goes under the day, everything else of it
// goes at once.
func (f *folding) end(d *draft) {
	rows := slices.Grow(f.closed.rows[:0], int(d.st.records)+len(d.records))
	for n := range d.st.records {
		key := f.key.Record(d.id, n)
		row, ok := f.r.Get(key)
		if !ok {
			panic("state: a record of " + string(d.id) + " is missing")
		}
		rows = append(rows, row)
		f.w.Delete(key)
	}
	f.closed.rows = append(rows, d.records...)
	f.bury(d.id, d.at)
	for n := range d.st.parts {
		f.w.Delete(f.key.Numbered(keys.Content, d.id, n))
	}
	d.st.roster.Erase(f.w, &f.key)
	f.reschedule(d, time.Time{})
	f.w.Delete(f.key.ID(keys.Status, d.id))
}

// bury puts the closed history under the day of its end or, where clocks
// disagree, the later one on which its id was drawn.
func (f *folding) bury(id mail.MessageID, at time.Time) {
	day := max(keys.DayOf(at), keys.DayOf(id.Time()))
	f.w.Set(f.key.Closed(day, id), codec.Put(&f.out, &f.closed, describeRecords))
	clear(f.closed.rows) // they may be long, and many: nothing keeps them here
	if i, ok := slices.BinarySearch(f.shard.days, day); !ok {
		f.shard.days = slices.Insert(f.shard.days, i, day)
	}
}

// due is under what time the message stands in the due index; zero: it has no
// row.
func (s *status) due(sum roster.Summary) time.Time {
	if s.held {
		return time.Time{}
	}
	return sum.Due
}

// counts is what the message adds to the counters in the era.
func (s *status) counts(sum roster.Summary, era uint32) Counts {
	c := Counts{Messages: 1, Held: one(s.held), InFlight: one(sum.Flying > 0), Content: uint64(s.size)}
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
