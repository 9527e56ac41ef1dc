package delivery

import (
	"context"
	"maps"
	"time"

	"quorumta/delivery/route"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

const (
	// pageRows is how many rows of the index are read at once.
	pageRows = 500
	// overlap is how far behind the newest rows new ones may still appear:
	// entries under way together may overtake each other.
	overlap = 250 * time.Millisecond
	// recentRows is how many of the newest rows are remembered: an operator may
	// make a million due at once.
	recentRows = 10_000
	// sweepRest is the shortest time between two sweeps of the whole index,
	// and sweepShare how many times its own duration a sweep rests.
	sweepRest  = 5 * time.Second
	sweepShare = 20
	// tailShare is how many times its own duration reading the newest rows
	// rests, so that it stays a small part of what the processor does; it
	// rests tailRest at most.
	tailShare = 10
	tailRest  = 25 * time.Millisecond
)

// office is an Office and what this process does about it.
type office struct {
	*queue.Office
	d *Deliverer
	// gone is the window's: the office has ended.
	gone bool

	// The rest belongs to the goroutine that scans.

	// tail is up to where the newest rows were read, recent when those were
	// taken that are still overlapped: a row that found no room must not be
	// routed again with each reading. What a row stands for may have changed
	// after that, as by a hold and its release: it is remembered for overlap.
	tail   time.Time
	recent map[state.DueRow]time.Time
	// sweep is the place in the sweep under way; began is zero between sweeps.
	sweep state.DueRow
	began time.Time
	// next is when the next sweep begins, fed how many were asked for when the
	// last one did.
	next time.Time
	fed  uint64
}

// serve is what an office is for; the queue calls it in a goroutine of its own.
func (d *Deliverer) serve(ctx context.Context, q *queue.Office) {
	now := d.o.Now()
	o := &office{Office: q, d: d, tail: now, recent: map[state.DueRow]time.Time{}, next: now}
	o.scan(ctx)
	d.window.leave(o)
}

// scan reads the index until the office ends: the newest rows whenever some
// may have appeared, and a page of the sweep in between.
func (o *office) scan(ctx context.Context) {
	for ctx.Err() == nil {
		changed := o.Changed()
		_, hunger := o.d.window.appetite()
		began := o.d.o.Now()
		o.readTail(ctx, began)
		took := o.d.o.Now().Sub(began)
		if o.sweepPage(ctx) {
			continue
		}
		if !pause(ctx, min(took*tailShare, tailRest), nil, nil) {
			return
		}
		if !pause(ctx, o.untilNext(), changed, hunger) {
			return
		}
	}
}

// pause waits for d, or until one of the channels is closed; false when ctx
// ended.
func pause(ctx context.Context, d time.Duration, changed, hunger <-chan struct{}) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-hunger:
	case <-timer.C:
	}
	return true
}

// untilNext is how long nothing happens by itself: until the next row is due,
// or the next sweep.
func (o *office) untilNext() time.Duration {
	now := o.d.o.Now()
	wait := o.next.Sub(now)
	rows := o.Due(state.DueRow{Due: now.Add(time.Millisecond)}, now.Add(wait), 1)
	if len(rows) > 0 {
		wait = min(wait, rows[0].Due.Sub(now))
	}
	return max(wait, time.Millisecond)
}

// readTail takes the rows that became due since the last time. It goes by the
// rows that it has seen, not by the clock: a row appears when its entry is
// committed, which may be long after it was stamped, but in the order of the
// stamps.
func (o *office) readTail(ctx context.Context, now time.Time) {
	after := state.DueRow{Due: o.tail.Add(-overlap)}
	for ctx.Err() == nil {
		rows := o.Due(after, now, pageRows)
		for _, row := range rows {
			if _, seen := o.recent[row]; seen {
				continue
			}
			if len(o.recent) < recentRows {
				o.recent[row] = now
			}
			o.take(ctx, row.ID)
		}
		if len(rows) > 0 {
			after = rows[len(rows)-1]
		}
		if len(rows) < pageRows {
			break
		}
	}
	if after.Due.After(o.tail) {
		o.tail = after.Due
	}
	maps.DeleteFunc(o.recent, func(row state.DueRow, taken time.Time) bool {
		return row.Due.Before(o.tail.Add(-overlap)) || now.Sub(taken) > overlap
	})
}

// sweepPage reads a page of the whole index; false between sweeps. A sweep
// finds what was queued before the office began, and what did not fit.
func (o *office) sweepPage(ctx context.Context) bool {
	now := o.d.o.Now()
	if o.began.IsZero() {
		meals, _ := o.d.window.appetite()
		if now.Before(o.next) && meals == o.fed {
			return false
		}
		o.fed, o.began, o.sweep = meals, now, state.DueRow{}
	}
	rows := o.Due(o.sweep, now, pageRows)
	for _, row := range rows {
		o.take(ctx, row.ID)
	}
	if len(rows) == pageRows {
		o.sweep = rows[len(rows)-1]
		return true
	}
	now = o.d.o.Now()
	o.next = now.Add(max(sweepRest, now.Sub(o.began)*sweepShare))
	o.began = time.Time{}
	return false
}

// take routes a message that is due, unless it is known. It waits only where
// very many others are being routed.
func (o *office) take(ctx context.Context, id mail.MessageID) {
	key := entryKey{o, id}
	if o.d.window.admit(key) {
		o.routeSoon(ctx, key, nil)
	}
}

// again is take for a message of which some recipients may be known.
func (o *office) again(ctx context.Context, id mail.MessageID) {
	key := entryKey{o, id}
	if busy, ok := o.d.window.readmit(key); ok {
		o.routeSoon(ctx, key, busy)
	}
}

// routeSoon routes a message's recipients, without those that are busy, in a
// goroutine: DNS may be slow.
func (o *office) routeSoon(ctx context.Context, key entryKey, busy []uint32) {
	m, ok := o.Message(key.id)
	var due []uint32
	if ok && !m.Held {
		due = dueRecipients(m, busy, o.d.o.Now())
	}
	if len(due) == 0 {
		o.d.window.routed(key)
		return
	}
	domain := m.Recipients[due[0]].Address.Domain
	if !o.d.gate.Enter(ctx, domain) {
		o.d.window.routed(key) // a later sweep finds it again
		return
	}
	if o.d.routing.Acquire(ctx, 1) != nil {
		o.d.gate.Leave(domain)
		o.d.window.routed(key)
		return
	}
	o.d.recorders.Go(func() {
		defer o.d.window.routed(key)
		defer o.d.routing.Release(1)
		defer o.d.gate.Leave(domain)
		o.place(ctx, m, due)
	})
}

// dueRecipients are those that are to be tried now.
func dueRecipients(m *state.Message, busy []uint32, now time.Time) []uint32 {
	skip := map[uint32]bool{}
	for _, n := range busy {
		skip[n] = true
	}
	var due []uint32
	for i := range m.Recipients {
		r := &m.Recipients[i]
		if r.Phase == state.Pending && !r.Due.After(now) && !skip[uint32(i)] {
			due = append(due, uint32(i))
		}
	}
	return due
}

// routing is what the routers made of recipients.
type routing struct {
	// groups are recipients by site, in the order of the first of each.
	groups []group
	// ended are those that go nowhere, or not now.
	ended []verdict
}

// group is the recipients that go to one site by one router.
type group struct {
	target     route.Target
	router     string
	recipients []uint32
}

// routeAll asks the routers about recipients.
func (d *Deliverer) routeAll(ctx context.Context, m *state.Message, recipients []uint32) routing {
	var all routing
	index := map[string]int{}
	for _, n := range recipients {
		decision := d.o.Router.Route(ctx, m, int(n))
		if decision.Kind != route.Deliver {
			v := verdict{recipient: n, kind: event.ErrorRouting, reply: decision.Reply, router: decision.Router, what: deferred}
			if decision.Kind == route.Fail {
				v.what = failed
			}
			all.ended = append(all.ended, v)
			continue
		}
		key := decision.Router + "\x00" + decision.Target.Key
		i, ok := index[key]
		if !ok {
			i = len(all.groups)
			index[key] = i
			all.groups = append(all.groups, group{target: decision.Target, router: decision.Router})
		}
		all.groups[i].recipients = append(all.groups[i].recipients, n)
	}
	return all
}

// place routes recipients and puts them into the lanes of their sites. What
// goes nowhere is settled at once.
func (o *office) place(ctx context.Context, m *state.Message, due []uint32) {
	all := o.d.routeAll(ctx, m, due)
	if ctx.Err() != nil {
		return
	}
	if len(all.ended) > 0 {
		a := &attempt{d: o.d, office: o, m: m, began: o.d.o.Now()}
		o.d.record(a, all.ended)
	}
	for _, g := range all.groups {
		s := o.d.sites.Site(g.target)
		for list := g.recipients; len(list) > 0; {
			n := min(len(list), o.d.o.Limits.Recipients)
			j := &job{office: o, id: m.Accepted.ID, sender: m.Accepted.Envelope.From.String(), recipients: list[:n:n]}
			if o.d.window.add(j, s) {
				o.d.startWorker(j.lane)
			}
			list = list[n:]
		}
	}
}

// dispatch does what time brings: lanes whose site may be tried again, jobs
// that have waited for too long, messages that are to be routed once more.
func (d *Deliverer) dispatch(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.window.stirred:
		case <-tick.C:
			for _, j := range d.window.impatient(200) {
				d.recorders.Go(func() { d.postpone(j) })
			}
			for _, key := range d.window.rung() {
				key.office.again(ctx, key.id)
			}
		}
		for _, l := range d.window.starts() {
			d.startWorker(l)
		}
	}
}
