package delivery

import (
	"time"

	"quorumta/delivery/explain"
	"quorumta/delivery/memory"
	"quorumta/delivery/outcome"
	"quorumta/delivery/retry"
	"quorumta/delivery/window"
	"quorumta/internal/mail"
	"quorumta/queue/state"
)

// Explain says of each open recipient of a message why it waits, as the node
// knows it that leads the message's shard; ok is false where this one does not, or
// the message is not open.
func (d *Deliverer) Explain(id mail.MessageID) (all []explain.Waiting, ok bool) {
	for _, q := range d.offices.all() {
		if q.Shard() != id.Shard() {
			continue
		}
		m, open := q.Message(id)
		if !open {
			return nil, false
		}
		key := window.Key{Office: window.Office{Shard: q.Shard(), Term: q.Term()}, ID: id}
		c := explain.Case{
			Message: m, Now: q.Now(), Parked: d.window.Parked(key), Clerk: d.clerk, Memory: d.memory.Book,
			Plan:  func(n uint32) retry.Plan { return d.planned(m, n) },
			Order: d.ordered,
		}
		jobs, routing := d.window.Where(key)
		for _, j := range jobs {
			c.Jobs = append(c.Jobs, explain.Job{Recipients: j.Recipients, Site: j.Lane.Site})
		}
		c.Routing = routing
		return c.Waiting(), true
	}
	return nil, false
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
