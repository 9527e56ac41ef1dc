package state

import (
	"slices"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/event/codec"
	"quorumta/queue/state/keys"
)

// maxParts bounds the parts of a message: 16 GiB of content.
const maxParts = 1 << 16

// part records a part. Parts bind nothing: a part of an id that is already a
// message of the same submitter is an old repetition.
func (f *folding) part(id mail.MessageID, p *event.BodyPart, at time.Time) Result {
	if p.N >= maxParts || len(p.Content) == 0 || len(p.Content) > event.MaxPart {
		return Malformed
	}
	u, ok := read(f.r, f.key.ID(keys.Upload, id), describeUpload)
	if !ok {
		if who, known := f.known(id); known {
			return who.meets(p.Submitter, Duplicate)
		}
		u = &upload{submitter: p.Submitter}
		f.shard.counts.Uploads++
	}
	if u.submitter != p.Submitter {
		return Conflict
	}
	if u.have.Has(p.N) {
		return Duplicate
	}
	f.w.Set(f.key.Numbered(keys.Content, id, p.N), p.Content)
	u.add(p.N, len(p.Content))
	u.renewed = at
	f.w.Set(f.key.ID(keys.Upload, id), codec.Put(&f.out, u, describeUpload))
	return Applied
}

func (f *folding) renew(id mail.MessageID, e *event.Renewed, at time.Time) Result {
	u, ok := read(f.r, f.key.ID(keys.Upload, id), describeUpload)
	switch {
	case !ok:
		return Unknown
	case u.submitter != e.Submitter:
		return Conflict
	}
	u.renewed = at
	f.w.Set(f.key.ID(keys.Upload, id), codec.Put(&f.out, u, describeUpload))
	return Applied
}

// abandon ends an id before it became a message. The id is kept in the closed
// history, so that an Accepted that comes later finds it there.
func (f *folding) abandon(id mail.MessageID, e *event.Abandoned, at time.Time) Result {
	if who, known := f.known(id); known {
		if who.abandoned && who.submitter == e.Submitter {
			return Duplicate
		}
		return who.meets(e.Submitter, Stale)
	}
	u, ok := read(f.r, f.key.ID(keys.Upload, id), describeUpload)
	if ok && u.submitter != e.Submitter {
		return Conflict
	}
	if ok {
		f.dropUpload(id, u)
	}
	f.closed.rows = append(f.closed.rows[:0], f.record(at, e))
	f.bury(id, at)
	return Applied
}

// sweep forgets uploads. One that has ended meanwhile makes the decision
// stale.
func (f *folding) sweep(e *event.Swept) Result {
	if len(e.IDs) == 0 {
		return Malformed
	}
	uploads := make([]*upload, len(e.IDs))
	for i, id := range e.IDs {
		if slices.Contains(e.IDs[:i], id) {
			return Malformed
		}
		u, ok := read(f.r, f.key.ID(keys.Upload, id), describeUpload)
		if !ok {
			return Stale
		}
		uploads[i] = u
	}
	for i, id := range e.IDs {
		f.dropUpload(id, uploads[i])
	}
	return Applied
}

func (f *folding) dropUpload(id mail.MessageID, u *upload) {
	u.have.Each(func(n uint32) { f.w.Delete(f.key.Numbered(keys.Content, id, n)) })
	f.w.Delete(f.key.ID(keys.Upload, id))
	f.shard.counts.Uploads--
}

// prune forgets the history of a day. Ids stay known for an hour after the end
// of their message, whatever the retention (PROTOCOL 17).
func (f *folding) prune(e *event.Pruned, at time.Time) Result {
	if at.Before(keys.DayEnd(e.Day).Add(time.Hour)) {
		return Malformed
	}
	i, ok := slices.BinarySearch(f.shard.days, e.Day)
	if !ok {
		return Stale
	}
	f.w.DeleteRange(keys.ClosedKey(e.Day, ""), keys.ClosedKey(e.Day+1, ""))
	f.shard.days = slices.Delete(f.shard.days, i, i+1)
	return Applied
}

// identity is what tells a repetition from a collision of ids.
type identity struct {
	submitter event.Submitter
	digest    [32]byte
	abandoned bool
}

// meets is the verdict on an event of the submitter about a known id: own if
// the message is the submitter's.
func (i identity) meets(s event.Submitter, own Result) Result {
	switch {
	case i.submitter != s:
		return Conflict
	case i.abandoned:
		return Abandoned
	}
	return own
}

// known says whose id it is, if it belongs to an open message, to one that
// ended, or was abandoned.
func (f *folding) known(id mail.MessageID) (identity, bool) {
	row, ok := f.r.Get(f.key.ID(keys.Message, id))
	if !ok {
		row, ok = f.ended(id)
	}
	if !ok {
		return identity{}, false
	}
	record := parse([]byte(id), row, describeRecord)
	switch e := record.Event.(type) {
	case *event.Accepted:
		return identity{submitter: e.Submitter, digest: e.Digest}, true
	case *event.Abandoned:
		return identity{submitter: e.Submitter, abandoned: true}, true
	case *event.Noted, *event.Unnoted:
		return identity{}, true
	}
	panic("state: the history of " + string(id) + " does not begin with its birth")
}

// ended gives the first record of a closed message. It is buried under no day
// before its id was drawn, so the days before need not be looked at.
func (f *folding) ended(id mail.MessageID) ([]byte, bool) {
	i, _ := slices.BinarySearch(f.shard.days, keys.DayOf(id.Time()))
	for _, day := range f.shard.days[i:] {
		if closed, ok := read(f.r, f.key.Closed(day, id), describeRecords); ok {
			return closed.rows[0], true
		}
	}
	return nil, false
}
