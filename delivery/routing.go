package delivery

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"quorumta/delivery/outcome"
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
		defer d.window.Routed(key)
		defer d.routing.Release(weight)
		defer d.gate.Leave(domain)
		d.place(ctx, key, m, due, read)
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
	// ended are those that go nowhere, or not now.
	ended []outcome.Verdict
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
	type place struct{ router, key, domain string }
	index := map[place]int{}
	router := d.rules.Load().Router
	for _, n := range recipients {
		facts := factsOf(m, n)
		decision := d.leaving(router.Route(ctx, facts, m.Hosts), facts, m.Accepted.ID)
		if decision.Kind != route.Deliver {
			v := outcome.Verdict{
				Recipient: n, What: outcome.Deferred, Kind: event.ErrorRouting,
				Reply: decision.Reply, Router: decision.Router,
			}
			if decision.Kind == route.Fail {
				v.What = outcome.Failed
			}
			all.ended = append(all.ended, v)
			continue
		}
		key := place{router: decision.Router, key: decision.Target.Key}
		if way := decision.Target.Way; way != nil && way.Limits.OneDomain {
			key.domain = facts.Rcpt.Domain
		}
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

// factsOf is a recipient as the routers' conditions see it.
func factsOf(m *state.Message, n uint32) *policy.Facts {
	a := &m.Accepted
	ip, err := netip.ParseAddr(a.Client.IP)
	if err != nil {
		ip = netip.Addr{} // our own reports have no client
	}
	return &policy.Facts{
		ClientIP:   ip,
		ClientName: a.Client.Name,
		Helo:       a.Client.Helo,
		Login:      a.Client.Login,
		TLS:        a.Client.TLS != "",
		Listener:   a.Client.Listener,
		Sender:     a.Envelope.From,
		Rcpt:       m.Recipients[n].Address,
		Size:       a.Size,
		Recipients: len(m.Recipients),
		Report:     a.Cause != "",
	}
}

// place routes recipients of a message that was read at a time, and puts them
// into the lanes of their sites. What goes nowhere is settled at once.
func (d *Deliverer) place(ctx context.Context, key window.Key, m *state.Message, due []uint32, read time.Time) {
	all := d.routeAll(ctx, m, due)
	if ctx.Err() != nil {
		return
	}
	q := d.offices.get(key.Office)
	if q != nil {
		// In parts, for the report of each has a size that can be sent.
		for part := range slices.Chunk(all.ended, d.o.Limits.Recipients) {
			d.record(d.newAttempt(q, m, nil), part)
		}
	}
	sender := m.Accepted.Envelope.From.String()
	for _, g := range all.groups {
		s := d.site(g, m)
		if q != nil {
			g.recipients = d.spare(q, m, g)
		}
		var plan *window.Plan
		if len(m.Recipients) <= d.o.Limits.Recipients { // what waits must not hold large ones
			plan = &window.Plan{Message: m, Target: g.target, Router: g.router, At: read}
		}
		for list := g.recipients; len(list) > 0; {
			n := min(len(list), s.Recipients(d.o.Limits.Recipients))
			j := &window.Job{Key: key, Sender: sender, Recipients: list[:n:n], Plan: plan}
			if d.window.Add(j, s) {
				d.startWorker(j.Lane)
			}
			list = list[n:]
		}
	}
}

// site is where a group of recipients goes.
func (d *Deliverer) site(g group, m *state.Message) *site.Site {
	return d.sites.Reach(g.target, site.Origin{Router: g.router, Domain: m.Recipients[g.recipients[0]].Address.Domain})
}
