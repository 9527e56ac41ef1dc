package delivery

import (
	"context"
	"slices"
	"time"

	"quorumta/delivery/outcome"
	"quorumta/delivery/recipient"
	"quorumta/delivery/route"
	"quorumta/delivery/site"
	"quorumta/delivery/window"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
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

// routing is what the routers made of recipients.
type routing struct {
	// groups are recipients by site, in the order of the first of each.
	groups []group
	// ended are those that go nowhere, or not now, by what is said of them.
	ended []ended
	// expanded are those that others come in the place of.
	expanded []expanded
}

// group is the recipients that go to one site by one router, and of which the
// same is said.
type group struct {
	target     route.Target
	router     string
	handling   mail.Handling
	recipients []uint32
}

// ended is recipients whose errors are told to the same address.
type ended struct {
	handling mail.Handling
	verdicts []outcome.Verdict
}

// expanded is a recipient that others come in the place of.
type expanded struct {
	n        uint32
	decision route.Decision
}

// routeAll asks the routers about recipients.
func (d *Deliverer) routeAll(ctx context.Context, office recipient.Opener, m *state.Message, recipients []uint32) routing {
	var all routing
	type place struct {
		router, target, handling, domain string
		forwarded                        bool // which may go out with another reverse-path
	}
	groups, endings := map[place]int{}, map[string]int{}
	rules := d.rules.Load()
	rewrites := rules.Outgoing.Forwards()
	fields := recipient.Header(office, &m.Accepted)
	for _, n := range recipients {
		q := recipient.Request(m, n, fields)
		decision := d.leaving(rules.Router.Route(ctx, q), q.Facts, m.Accepted.ID)
		handling := m.Handling(n).And(decision.Handling)
		switch decision.Kind {
		case route.Deliver:
			decision.Target.Secure(ctx, rules.TLS, &m.Accepted.Envelope)
			key := place{router: decision.Router, target: decision.Target.Key, handling: handling.Key(), forwarded: rewrites && forwarded(m, n)}
			if way := decision.Target.Way; way != nil && way.Limits.OneDomain {
				key.domain = q.Facts.Rcpt.Domain
			}
			i, ok := groups[key]
			if !ok {
				i = len(all.groups)
				groups[key] = i
				all.groups = append(all.groups, group{target: decision.Target, router: decision.Router, handling: handling})
			}
			all.groups[i].recipients = append(all.groups[i].recipients, n)
		case route.Expand:
			all.expanded = append(all.expanded, expanded{n, decision})
		default:
			rules.TLS.Bogus(decision.Bogus)
			i, ok := endings[handling.Key()]
			if !ok {
				i = len(all.ended)
				endings[handling.Key()] = i
				all.ended = append(all.ended, ended{handling: handling})
			}
			all.ended[i].verdicts = append(all.ended[i].verdicts, unrouted(n, &decision))
		}
	}
	return all
}

// leaving adds to where a recipient's mail goes how it leaves for it; it waits
// where it cannot.
func (d *Deliverer) leaving(x route.Decision, facts *policy.Facts, id mail.MessageID) route.Decision {
	if x.Kind != route.Deliver {
		return x
	}
	target, err := d.sites.Leaving(x.Target, facts, id)
	if err != nil {
		return route.Decision{Kind: route.Defer, Router: x.Router, Reply: mail.Reply{Code: 451, Enhanced: "4.3.5", Text: err.Error()}}
	}
	x.Target = target
	return x
}

// unrouted is the verdict on a recipient that goes nowhere, or not now.
func unrouted(n uint32, decision *route.Decision) outcome.Verdict {
	v := outcome.Verdict{
		Recipient: n, What: outcome.Deferred, Kind: event.ErrorRouting,
		Reply: decision.Reply, Router: decision.Router,
	}
	if decision.Kind == route.Fail {
		v.What = outcome.Failed
	}
	return v
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
		for _, e := range all.ended {
			// In parts, for the report of each has a size that can be sent.
			for part := range slices.Chunk(e.verdicts, d.o.Limits.Recipients) {
				a := d.newAttempt(q, m, nil)
				a.Handling = e.handling
				d.record(a, part)
			}
		}
		expanded = d.expandAll(q, m, all.expanded)
	}
	sender := m.Accepted.Envelope.From.String()
	var ordered *site.Site
	for i := range all.groups {
		g := &all.groups[i]
		s := d.site(*g, m)
		if d.clerk.Waits(s) {
			ordered = s
			waiting += len(g.recipients)
			continue
		}
		if q != nil {
			g.recipients = d.spare(q, m, *g)
		}
		var plan *window.Plan
		if len(m.Recipients) <= d.o.Limits.Recipients { // what waits must not hold large ones
			plan = &window.Plan{Message: m, Target: g.target, Router: g.router, At: read}
		}
		var handling *mail.Handling
		if !g.handling.IsZero() {
			handling = &g.handling
		}
		for list := g.recipients; len(list) > 0; {
			n := min(len(list), s.Recipients(d.o.Limits.Recipients))
			j := &window.Job{Key: key, Sender: sender, Recipients: list[:n:n], Handling: handling, Plan: plan}
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
func (d *Deliverer) site(g group, m *state.Message) *site.Site {
	return d.sites.Reach(g.target, site.Origin{Router: g.router, Domain: m.Recipients[g.recipients[0]].Address.Domain})
}
