package delivery

import (
	"context"
	"time"

	"quorumta/delivery/explain"
	"quorumta/delivery/memory"
	"quorumta/delivery/outcome"
	"quorumta/delivery/recipient"
	"quorumta/delivery/retry"
	"quorumta/delivery/route"
	"quorumta/delivery/site"
	"quorumta/delivery/window"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/queue"
	"quorumta/queue/state"
)

// Explain says of each open recipient of a message why it waits, as the node
// knows it that leads the message's shard; ok is false where this one does not, or
// the message is not open.
func (d *Deliverer) Explain(id mail.MessageID) (all []explain.Waiting, ok bool) {
	q, m := d.open(id)
	if m == nil {
		return nil, false
	}
	key := window.Key{Office: window.Office{Shard: q.Shard(), Term: q.Term()}, ID: id}
	c := explain.Case{
		Message: m, Now: q.Now(), Parked: d.window.Parked(key), Clerk: d.clerk, Memory: d.memory.Book,
		Plan: func(n uint32) retry.Plan { return d.planned(m, n) }, Warnings: d.rules.Load().Warnings,
		Order: d.ordered,
	}
	jobs, routing := d.window.Where(key)
	for _, j := range jobs {
		c.Jobs = append(c.Jobs, explain.Job{Recipients: j.Recipients, Site: j.Lane.Site})
	}
	c.Routing = routing
	return c.Waiting(), true
}

// mostTraced is how many recipients of a message are traced: each may ask the DNS.
const mostTraced = 100

// Trace says where the mail of a message's open recipients goes, of the first of
// them where there are very many, by the rules and the DNS as they are now; ok is
// as Explain's.
func (d *Deliverer) Trace(ctx context.Context, id mail.MessageID) (all []explain.Traced, ok bool) {
	q, m := d.open(id)
	if m == nil {
		return nil, false
	}
	r := d.rules.Load()
	sites := map[string]*site.Site{}
	for _, s := range d.sites.All() {
		sites[s.Key()] = s
	}
	t := explain.Tracer{
		Router: r.Router, TLS: r.TLS, Memory: d.memory.Book, Retry: r.Retry, Limits: r.Sites, Now: d.o.Now,
		Site:    func(key string) *site.Site { return sites[key] },
		Leaving: func(x route.Target, f *policy.Facts) (route.Target, error) { return d.sites.Leaving(x, f, id) },
	}
	fields := recipient.Header(q, &m.Accepted)
	for i := range m.Recipients {
		n := uint32(i)
		if !m.Recipients[i].Phase.Open() || len(all) == mostTraced {
			continue
		}
		t.Order = func(s *site.Site) string {
			key := d.clerk.By(m, n, s)
			if key == "" {
				return ""
			}
			return d.ordered(key).Words(key)
		}
		trace, _ := t.Trace(ctx, recipient.Request(m, n, fields), &m.Accepted.Envelope)
		all = append(all, explain.Traced{Recipient: n, Trace: trace})
	}
	return all, true
}

// open is a message that is open, and its office; nil where this node does not lead
// its shard.
func (d *Deliverer) open(id mail.MessageID) (*queue.Office, *state.Message) {
	for _, q := range d.offices.all() {
		if q.Shard() == id.Shard() {
			m, _ := q.Message(id)
			return q, m
		}
	}
	return nil, nil
}

// ordered is the note under a key.
func (d *Deliverer) ordered(key string) explain.Order {
	n, _ := d.o.Queue.Noted(key)
	return explain.Order{Value: n.Value, By: n.By, Why: n.Why, Until: n.Until}
}

// planned is what the retry rules say of a recipient's last failure.
func (d *Deliverer) planned(m *state.Message, n uint32) retry.Plan {
	rules, r := d.rules.Load(), &m.Recipients[n]
	v := outcome.Verdict{Recipient: n, What: outcome.Deferred, Kind: r.Error, Reply: r.Reply}
	a := outcome.Attempt{Message: m}
	a.Since = func(class retry.Class, n uint32) time.Time {
		var f memory.Failure
		switch class {
		case retry.Host:
			f, _, _ = d.memory.Named(r.Host)
		case retry.Address:
			f, _ = d.memory.Get(addressKey(rules.Retry, m, n))
		}
		return f.First
	}
	return rules.Retry.Plan(a.Error(&v, r.LastFailed))
}
