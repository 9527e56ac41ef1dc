package state

import (
	"bytes"
	"slices"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/event/codec"
	"quorumta/queue/state/keys"
)

// Fold applies the groups of an entry that was committed at index in term. It
// is total over decodable events, and a function of its arguments alone. It
// panics when a row of the state cannot be read.
//
// A group's time is raised to the shard's newest (PROTOCOL 20), in place. Its
// cost is that of the rows of the group's own message.
func Fold(r Reader, w Writer, index, term uint64, e event.Entry) []Result {
	return new(Folder).Fold(r, keeping{w}, index, term, e)
}

// keeping hands out keys and values that may be kept.
type keeping struct{ Writer }

// Set implements Writer.
func (k keeping) Set(key, value []byte) { k.Writer.Set(bytes.Clone(key), bytes.Clone(value)) }

// Delete implements Writer.
func (k keeping) Delete(key []byte) { k.Writer.Delete(bytes.Clone(key)) }

// Folder is for who folds entry after entry: it uses its memory again, and
// nothing else stays in it. It belongs to one goroutine; its zero value is
// ready.
type Folder struct{ f folding }

// Fold is the function of that name, but that keys and values are the Writer's
// during its calls only.
func (o *Folder) Fold(r Reader, w Writer, index, term uint64, e event.Entry) []Result {
	f := &o.f
	f.r, f.w, f.decided, f.term, f.shard = r, w, e.Term, term, shard{}
	if row, ok := r.Get(f.key.Shard()); ok {
		mustRead(f.key.Shard(), codec.Get(&f.in, row, &f.shard, describeShard))
	}
	results := make([]Result, len(e.Groups))
	for i := range e.Groups {
		f.out.Clear()
		results[i] = f.group(&e.Groups[i])
	}
	if slices.Contains(results, Applied) {
		w.Set(f.key.Shard(), codec.Put(&f.out, &f.shard, describeShard))
	}
	// Large ones must not last until the next entry.
	f.r, f.w, f.entry, f.bare, f.claim = nil, nil, Record{}, event.Accepted{}, Claim{}
	return results
}

// folding is the fold of one entry.
type folding struct {
	r Reader
	w Writer
	// decided is the term that the entry was decided in, term the one it was
	// committed in.
	decided, term uint64
	// shard is written back once, after the last group.
	shard shard
	// The rest is memory for what is made for a moment: keys, what is read and
	// what is written for the group at hand, and what is about to be encoded.
	key     keys.Buffer
	in, out codec.Fields
	entry   Record
	bare    event.Accepted
	claim   Claim
	closed  records
	flights []uint32
}

func (f *folding) group(g *event.Group) Result {
	if g.At.IsZero() || len(g.Events) == 0 {
		return Malformed
	}
	if f.decided != f.term && slices.ContainsFunc(g.Events, bindsTerm) {
		return Late
	}
	if g.At.Before(f.shard.last) {
		g.At = f.shard.last
	}
	result := f.dispatch(*g, g.At)
	if result == Applied {
		f.shard.last = g.At
	}
	return result
}

// bindsTerm reports whether the event is true only in the term it was decided
// in: claims, and what follows from the passing of time (PROTOCOL 14).
func bindsTerm(e event.Event) bool {
	switch e := e.(type) {
	case *event.Claimed, *event.Doubted, *event.Expired, *event.Warned, *event.Pruned, *event.Swept:
		return true
	case *event.Unnoted:
		return !e.Until.IsZero()
	}
	return false
}

// dispatch tells the sorts of groups apart: about the shard, about an upload,
// about a note, and about a message. The events of the first three stand alone.
func (f *folding) dispatch(g event.Group, at time.Time) Result {
	alone := len(g.Events) == 1
	switch e := g.Events[0].(type) {
	case *event.Pruned:
		if alone && g.ID == "" {
			return f.prune(e, at)
		}
	case *event.Swept:
		if alone && g.ID == "" {
			return f.sweep(e)
		}
	case *event.Suspended:
		if alone && g.ID == "" {
			return f.suspend(e, at)
		}
	case *event.Resumed:
		if g.ID != "" {
			return f.message(g, at)
		}
		if alone {
			return f.resume()
		}
	case *event.BodyPart:
		if alone && g.ID != "" {
			return f.part(g.ID, e, at)
		}
	case *event.Noted, *event.Unnoted:
		if alone && g.ID != "" {
			return f.note(g.ID, e, at)
		}
	case *event.Renewed:
		if alone && g.ID != "" {
			return f.renew(g.ID, e, at)
		}
	case *event.Abandoned:
		if alone && g.ID != "" {
			return f.abandon(g.ID, e, at)
		}
	default:
		if g.ID != "" {
			return f.message(g, at)
		}
	}
	return Malformed
}

// message folds a group about a message: its birth, what became of it, and the
// reports that this causes.
//
// An outcome concerns only the recipients for which it is still news, and may
// concern nobody any more; the group is stale when none of its events has
// anything to say. So a recipient that a late Delivered has closed does not
// stand in the way of what is known about the others.
func (f *folding) message(g event.Group, at time.Time) Result {
	var reports []*event.Accepted
	var told verdicts
	d, events, result := f.begin(g, at)
	if result != Applied {
		return result
	}
	for _, e := range events {
		if report, ok := e.(*event.Accepted); ok {
			reports = append(reports, report)
			continue
		}
		result := d.apply(e)
		switch {
		case result == Applied:
			d.records = append(d.records, f.record(at, e))
		case result != Stale || !isOutcome(e):
			return result
		}
		told.add(e, result == Applied)
	}
	if !d.born() && !told.anything {
		return Stale
	}
	drafts, result := f.reports(g.ID, reports, told, at)
	if result != Applied {
		return result
	}
	for _, report := range drafts {
		f.commit(report)
	}
	f.commit(d)
	return Applied
}

// begin gives the draft of the group's message, new or open, and the events
// that follow its birth.
func (f *folding) begin(g event.Group, at time.Time) (*draft, []event.Event, Result) {
	if a, ok := g.Events[0].(*event.Accepted); ok && a.ID == g.ID {
		d, result := f.accept(a, at)
		return d, g.Events[1:], result
	}
	d, ok := f.draft(g.ID, at)
	if !ok {
		return nil, nil, Unknown
	}
	return d, g.Events, Applied
}

// isOutcome reports whether the event may concern nobody without spoiling the
// group (PROTOCOL 16).
func isOutcome(e event.Event) bool {
	switch e.Kind() {
	case event.KindReturned, event.KindDoubted, event.KindDelivered, event.KindDeferred,
		event.KindFailed, event.KindExpired, event.KindWarned:
		return true
	}
	return false
}

// verdicts is what a group turned out to say.
type verdicts struct {
	// anything: an event applied. bad: there is bad news in the group, that is,
	// a reason for a report; badNews: it applied.
	anything, bad, badNews bool
}

func (v *verdicts) add(e event.Event, applied bool) {
	v.anything = v.anything || applied
	switch e.Kind() {
	case event.KindFailed, event.KindExpired, event.KindWarned, event.KindBounced:
		v.bad = true
		v.badNews = v.badNews || applied
	}
}

// reports gives the drafts of the reports that ride in a group. Where all the
// bad news turned out to be stale there is nothing to report.
func (f *folding) reports(cause mail.MessageID, reports []*event.Accepted, told verdicts, at time.Time) ([]*draft, Result) {
	if told.bad && !told.badNews {
		return nil, Applied
	}
	var drafts []*draft
	for _, a := range reports {
		twice := slices.ContainsFunc(drafts, func(d *draft) bool { return d.id == a.ID })
		if a.Cause != cause || a.ID == cause || twice {
			return nil, Malformed
		}
		d, result := f.accept(a, at)
		switch result {
		case Applied:
			drafts = append(drafts, d)
		case Duplicate:
		default:
			return nil, result
		}
	}
	return drafts, Applied
}
