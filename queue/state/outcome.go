package state

import (
	"time"

	"quorumta/queue/event"
	"quorumta/queue/state/roster"
)

// apply folds one event into the draft. Stale: it has nothing to say.
func (d *draft) apply(e event.Event) Result {
	switch e := e.(type) {
	case *event.Claimed:
		return d.claim(e)
	case *event.Returned:
		return d.returned(e)
	case *event.Doubted:
		return d.doubt(e)
	case *event.Delivered:
		return d.deliver(e)
	case *event.Deferred:
		return d.postpone(e)
	case *event.Failed:
		return d.settle(e.Recipients, Failed, e.Attempt, e.Error)
	case *event.Expired:
		return d.settle(e.Recipients, Expired, e.Attempt, e.Error)
	case *event.Warned:
		return d.warn(e)
	case *event.Expanded:
		return d.expand(e)
	case *event.Held:
		return d.hold(e)
	case *event.Released:
		return d.release()
	case *event.Retried:
		return d.retry(e)
	case *event.Removed:
		return d.discard(Removed)
	case *event.Bounced:
		return d.discard(Bounced)
	case *event.Resumed:
		return d.resume()
	case *event.Edited:
		return d.edit(e)
	case *event.Rerouted:
		d.st.hosts = e.Hosts
		return Applied
	}
	return Malformed
}

// each changes those of the listed recipients that the event concerns.
func (d *draft) each(list []uint32, concerns func(*Recipient) bool, change func(*Recipient)) Result {
	if len(list) == 0 {
		return Malformed
	}
	result := Stale
	for _, n := range list {
		r, ok := d.st.roster.At(n)
		if !ok {
			return Malformed
		}
		if concerns(r) {
			change(r)
			result = Applied
		}
	}
	return result
}

// current is the concern of an outcome of the attempt: the recipients in
// flight in it or, if nothing was claimed, the pending ones.
func current(number uint32) func(*Recipient) bool {
	return func(r *Recipient) bool {
		if number == 0 {
			return r.Phase == Pending
		}
		return r.Phase == InFlight && r.Attempt == number
	}
}

// claim gives all of the recipients to an attempt, or none.
func (d *draft) claim(e *event.Claimed) Result {
	if len(e.Recipients) == 0 {
		return Malformed
	}
	if d.st.held || d.f.shard.suspends(d.st.free) || e.Number != d.st.attempts+1 {
		return Stale
	}
	for _, n := range e.Recipients {
		r, ok := d.st.roster.At(n)
		if !ok {
			return Malformed
		}
		if r.Phase != Pending {
			return Stale
		}
		r.Phase, r.Attempt, r.Due = InFlight, e.Number, time.Time{}
	}
	d.st.attempts = e.Number
	d.claims = append(d.claims, e)
	return Applied
}

func (d *draft) returned(e *event.Returned) Result {
	if e.Number == 0 {
		return Malformed
	}
	return d.each(e.Recipients, current(e.Number), func(r *Recipient) {
		r.Phase, r.Due = Pending, orAt(e.Due, d.at)
	})
}

func (d *draft) doubt(e *event.Doubted) Result {
	if e.Number == 0 {
		return Malformed
	}
	result := d.each(e.Recipients, current(e.Number), func(r *Recipient) {
		r.Phase, r.Due = Pending, orAt(e.Due, d.at)
		r.Doubts++
	})
	if result == Applied && e.Hold && !d.st.held {
		d.st.held, d.st.heldBy, d.st.heldWhy = true, "", "in doubt"
	}
	return result
}

// deliver closes open recipients that were claimed for the attempt or for a
// later one: what a host has taken is delivered, whoever else is at it
// (PROTOCOL 16).
func (d *draft) deliver(e *event.Delivered) Result {
	number := e.Attempt.Number
	if number == 0 || number > d.st.attempts {
		return Malformed
	}
	claimed := func(r *Recipient) bool { return r.Phase.Open() && number <= r.Attempt }
	return d.each(e.Recipients, claimed, func(r *Recipient) {
		r.Close(Delivered)
		r.Note(e.Attempt, event.ErrorNone)
	})
}

// postpone is Deferred. Without an error the recipients merely wait: no retry
// step is used up.
func (d *draft) postpone(e *event.Deferred) Result {
	return d.each(e.Recipients, current(e.Attempt.Number), func(r *Recipient) {
		r.Phase, r.Due = Pending, orAt(e.Due, d.at)
		if e.Error == event.ErrorNone {
			return
		}
		r.Tries++
		r.FirstFailed, r.LastFailed = orAt(r.FirstFailed, d.at), d.at
		r.Note(e.Attempt, e.Error)
	})
}

// settle closes recipients for which the attempt was the last.
func (d *draft) settle(list []uint32, phase Phase, a event.Attempt, kind event.ErrorKind) Result {
	return d.each(list, current(a.Number), func(r *Recipient) {
		r.Close(phase)
		r.Note(a, kind)
	})
}

func (d *draft) warn(e *event.Warned) Result {
	next := func(r *Recipient) bool { return r.Phase.Open() && r.Warned+1 == e.Step }
	return d.each(e.Recipients, next, func(r *Recipient) { r.Warned = e.Step })
}

// expand replaces a pending recipient, or begins to.
func (d *draft) expand(e *event.Expanded) Result {
	r, ok := d.st.roster.At(e.Recipient)
	switch {
	case !ok, e.Nobody != (len(e.Into) == 0), e.Nobody && e.More:
		return Malformed
	case r.Phase != Pending, e.Count != 0 && e.Count != d.st.roster.Count():
		return Stale
	}
	r.Expansion = &roster.Expansion{Router: e.Router, Handling: e.Handling}
	if !e.More {
		r.Close(Expanded)
	}
	for _, into := range e.Into {
		d.st.roster.Add(Recipient{
			Recipient: into.Recipient, Due: d.at,
			Origin: roster.Origin{Parent: e.Recipient + 1, Item: into.Item, Apart: into.Apart},
		})
	}
	return Applied
}

// edit ends and adds recipients, all or none.
func (d *draft) edit(e *event.Edited) Result {
	switch {
	case len(e.Drop)+len(e.Add) == 0:
		return Malformed
	case e.Count != d.st.roster.Count():
		return Stale
	}
	for _, n := range e.Drop {
		r, ok := d.st.roster.At(n)
		switch {
		case !ok:
			return Malformed
		case !r.Phase.Open():
			return Stale
		}
		r.Close(Removed)
	}
	for i := range e.Add {
		a := &e.Add[i]
		if again := i > 0 && e.Add[i-1].Instead == a.Instead; a.Instead > 0 && !again {
			r, ok := d.st.roster.At(a.Instead - 1)
			switch {
			case !ok || a.Instead > e.Count:
				return Malformed
			case r.Phase != Pending:
				return Stale
			}
			r.Close(Expanded)
		}
		d.st.roster.Add(Recipient{Recipient: a.Recipient, Due: d.at, Origin: roster.Origin{Parent: a.Instead}})
	}
	return Applied
}

func (d *draft) hold(e *event.Held) Result {
	if d.st.held || d.st.roster.Summarize().Open == 0 {
		return Stale
	}
	d.st.held, d.st.heldBy, d.st.heldWhy = true, e.By, e.Why
	return Applied
}

func (d *draft) release() Result {
	if !d.st.held {
		return Stale
	}
	d.st.held, d.st.heldBy, d.st.heldWhy = false, "", ""
	return Applied
}

// resume makes the message free in this era.
func (d *draft) resume() Result {
	if !d.f.shard.suspends(d.st.free) {
		return Stale
	}
	d.st.free = d.f.shard.era
	return Applied
}

// retry makes the pending recipients due. A held message stays held.
func (d *draft) retry(e *event.Retried) Result {
	result := Stale
	d.st.roster.All(func(_ uint32, r *Recipient) {
		if r.Phase == Pending {
			r.Due = orAt(e.Due, d.at)
			result = Applied
		}
	})
	return result
}

// discard closes what is open by an operator's will.
func (d *draft) discard(phase Phase) Result {
	result := Stale
	d.st.roster.All(func(_ uint32, r *Recipient) {
		if r.Phase.Open() {
			r.Close(phase)
			result = Applied
		}
	})
	return result
}
