package delivery

import (
	"context"
	"slices"
	"time"

	"quorumta/delivery/outcome"
	"quorumta/delivery/recipient"
	"quorumta/delivery/route"
	"quorumta/delivery/site"
	"quorumta/delivery/sorting"
	"quorumta/delivery/window"
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// take routes a message that is due, unless it is known. It waits only where
// very many others are being routed.
func (d *Deliverer) take(ctx context.Context, key window.Key) {
	if d.window.Admit(key) {
		d.routeSoon(ctx, key, nil)
	}
}

// again is take for a message of which some recipients may be known.
func (d *Deliverer) again(ctx context.Context, key window.Key) {
	if busy, ok := d.window.Readmit(key); ok {
		d.routeSoon(ctx, key, busy)
	}
}

// routeSoon routes a message's recipients, without those that are busy, in a
// goroutine: DNS may be slow.
func (d *Deliverer) routeSoon(ctx context.Context, key window.Key, busy []uint32) {
	read := d.o.Now()
	m, due := d.due(key, busy)
	if len(due) == 0 {
		d.window.Routed(key)
		return
	}
	domain := m.Recipients[due[0]].Address.Domain
	if !d.gate.Enter(ctx, domain) {
		d.window.Routed(key) // a later sweep finds it again
		return
	}
	weight := d.weight(m)
	if d.routing.Acquire(ctx, weight) != nil {
		d.gate.Leave(domain)
		d.window.Routed(key)
		return
	}
	d.recorders.Go(func() {
		expanded := d.place(ctx, key, m, due, read)
		d.gate.Leave(domain)
		d.routing.Release(weight)
		d.window.Routed(key)
		if expanded {
			d.again(ctx, key) // at once, for those in the place of others
		}
	})
}

// weight is what a message takes of Limits.Routing.
func (d *Deliverer) weight(m *state.Message) int64 {
	const each = 100
	return int64(min(1+len(m.Recipients)/each, d.o.Limits.Routing))
}

// due reads a message, and which of its recipients are to be tried now, but for
// the busy ones; none where it is held, or its office has ended.
func (d *Deliverer) due(key window.Key, busy []uint32) (*state.Message, []uint32) {
	q := d.offices.get(key.Office)
	if q == nil {
		return nil, nil
	}
	m, ok := q.Message(key.ID)
	if !ok || m.Held {
		return nil, nil
	}
	skip := map[uint32]bool{}
	for _, n := range busy {
		skip[n] = true
	}
	now := q.Now()
	var due []uint32
	for i := range m.Recipients {
		if n := uint32(i); isDue(m, n, now) && !skip[n] {
			due = append(due, n)
		}
	}
	return m, due
}

func isDue(m *state.Message, n uint32, now time.Time) bool {
	r := &m.Recipients[n]
	return r.Phase == state.Pending && !r.Due.After(now)
}

// routeAll asks the routers about recipients.
func (d *Deliverer) routeAll(ctx context.Context, office recipient.Opener, m *state.Message, recipients []uint32) sorting.Places {
	r := d.rules.Load()
	rules := sorting.Rules{Router: r.Router, TLS: r.TLS, Forwards: r.Outgoing.Forwards(), Leaving: d.sites.Leaving}
	return rules.Sort(ctx, office, m, recipients)
}

// unrouted are the verdicts on recipients that go nowhere, or not now.
func unrouted(list []sorting.One) []outcome.Verdict {
	verdicts := make([]outcome.Verdict, len(list))
	for i := range list {
		x := &list[i].Decision
		v := outcome.Verdict{Recipient: list[i].N, What: outcome.Deferred, Kind: event.ErrorRouting, Reply: x.Reply, Router: x.Router}
		if x.Kind == route.Fail {
			v.What = outcome.Failed
		}
		verdicts[i] = v
	}
	return verdicts
}

// place routes recipients of a message that was read at a time, and puts them
// into the lanes of their sites. What goes nowhere is settled at once. It reports
// whether others have come in the place of some.
func (d *Deliverer) place(ctx context.Context, key window.Key, m *state.Message, due []uint32, read time.Time) (expanded bool) {
	q := d.offices.get(key.Office)
	if q == nil {
		return false
	}
	asked := len(due)
	due = d.clerk.Free(m, due)
	all := d.routeAll(ctx, q, m, due)
	if ctx.Err() != nil {
		return false
	}
	waiting := asked - len(due)
	if q = d.offices.get(key.Office); q != nil {
		for _, e := range all.Ended {
			// In parts, for the report of each has a size that can be sent.
			for part := range slices.Chunk(e.List, d.o.Limits.Recipients) {
				a := d.newAttempt(q, m, nil)
				a.Handling = e.Handling
				d.record(a, unrouted(part))
			}
		}
		expanded = d.expandAll(q, m, all.Expanded)
	}
	sender := m.Accepted.Envelope.From.String()
	var ordered *site.Site
	for i := range all.Groups {
		g := &all.Groups[i]
		s := d.site(*g, m)
		if d.clerk.Waits(s) {
			ordered = s
			waiting += len(g.Recipients)
			continue
		}
		if q != nil {
			g.Recipients = d.spare(q, m, *g)
		}
		var plan *window.Plan
		if len(m.Recipients) <= d.o.Limits.Recipients { // what waits must not hold large ones
			plan = &window.Plan{Message: m, Target: g.Target, Router: g.Router, At: read}
		}
		var handling *mail.Handling
		if !g.Handling.IsZero() {
			handling = &g.Handling
		}
		for list := g.Recipients; len(list) > 0; {
			n := min(len(list), s.Recipients(d.o.Limits.Recipients))
			j := &window.Job{Key: key, Sender: sender, Priority: m.Accepted.Envelope.Priority, Recipients: list[:n:n], Handling: handling, Plan: plan}
			if d.window.Add(j, s) {
				d.startWorker(j.Lane)
			}
			list = list[n:]
		}
	}
	if waiting == asked {
		d.window.Park(key, ordered)
	}
	return expanded
}

// site is where a group of recipients goes.
func (d *Deliverer) site(g sorting.Group, m *state.Message) *site.Site {
	return d.sites.Reach(g.Target, site.Origin{Router: g.Router, Domain: m.Recipients[g.Recipients[0]].Address.Domain})
}
