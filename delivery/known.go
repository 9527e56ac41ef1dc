package delivery

import (
	"context"
	"slices"
	"time"

	"quorumta/delivery/egress"
	"quorumta/delivery/flush"
	"quorumta/delivery/memory"
	"quorumta/delivery/outcome"
	"quorumta/delivery/retry"
	"quorumta/delivery/route"
	"quorumta/delivery/sorting"
	"quorumta/internal/mail"
	"quorumta/internal/tlspolicy"
	"quorumta/queue"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// whereto is which hosts an attempt may go to and how, and which of them have
// failed it.
type whereto struct {
	hosts  []route.Host
	failed []memory.Key
	// policy is what a connection must be like.
	policy *tlspolicy.Policy
	// way is how the message leaves; nil leaves it to the system.
	way *egress.Way
	// traced: the hosts are told the trace.
	traced bool
}

// hostKey names an address of a host.
func hostKey(h route.Host) memory.Key { return memory.Host(h.Name, route.At(h).String()) }

func hostKeys(hosts []route.Host) []memory.Key {
	keys := make([]memory.Key, 0, len(hosts))
	for _, h := range hosts {
		keys = append(keys, hostKey(h))
	}
	return keys
}

// peer is the key of the host that the attempt has come to, in a list.
func (w *whereto) peer(host, ip string) []memory.Key {
	for _, h := range w.hosts {
		if h.Name == host && h.Addr.String() == ip {
			return []memory.Key{hostKey(h)}
		}
	}
	return nil
}

// addressKey names a recipient, with the sender where the rules tell them apart.
func addressKey(r *retry.Rules, m *state.Message, n uint32) memory.Key {
	sender := ""
	if !r.Options().AnySender {
		sender = m.Accepted.Envelope.From.String()
	}
	return memory.Address(m.Recipients[n].Address.String(), sender)
}

// remember notes in the memory of the cluster what an attempt has met, before the
// retry rules are asked: they count from the first failure that anybody has met.
func (d *Deliverer) remember(a *attempt, verdicts []outcome.Verdict, r *Rules) {
	for i := range verdicts {
		v := &verdicts[i]
		if v.What == outcome.Delivered || v.What == outcome.Failed {
			key := addressKey(r.Retry, a.Message, v.Recipient)
			d.memory.Worked(key, nil)
			continue
		}
		if v.What != outcome.Deferred || !v.Wait.IsZero() {
			continue
		}
		switch retry.ClassOf(v.Kind) {
		case retry.Host:
			for _, key := range a.failed {
				d.memory.Failed(key, v.Kind, v.Reply)
			}
			a.failed = nil // once is enough
		case retry.Address:
			if v.Kind != event.ErrorRouting { // name servers fail for all, and are no address
				d.memory.Failed(addressKey(r.Retry, a.Message, v.Recipient), v.Kind, v.Reply)
			}
		}
	}
}

// since is the first failure of what a verdict speaks of, whatever mail met it;
// the zero time where nothing is known.
func (d *Deliverer) since(a *attempt, r *Rules) func(retry.Class, uint32) time.Time {
	return func(class retry.Class, n uint32) time.Time {
		var f memory.Failure
		switch class {
		case retry.Host:
			f, _ = d.memory.Together(hostKeys(a.hosts))
		case retry.Address:
			f, _ = d.memory.Get(addressKey(r.Retry, a.Message, n))
		}
		return f.First
	}
}

// agree notes when the retry rules want hosts to be tried again that fail.
func (d *Deliverer) agree(a *attempt, verdicts []outcome.Verdict) {
	for i := range verdicts {
		v := &verdicts[i]
		if v.What == outcome.Deferred && v.Wait.IsZero() && retry.ClassOf(v.Kind) == retry.Host && !v.Next.IsZero() {
			d.memory.Wait(hostKeys(a.hosts), v.Next, v.Past)
			return
		}
	}
}

// bad tells those recipients of a group who need not be tried now: all hosts of
// their site are known to fail, for longer than jobs wait for a site, and none is
// due. Who has come to the end of a rule's time gets a last try, unless the hosts
// have, too: then there is one for all in each interval (Exim's
// delay_after_cutoff).
func (d *Deliverer) bad(q *queue.Office, m *state.Message, g sorting.Group) (wait []outcome.Verdict, try []uint32) {
	f, ok := d.memory.Together(hostKeys(g.Target.Hosts))
	now := d.o.Now()
	rules := d.rules.Load().Retry
	if !ok || now.Sub(f.First) < d.o.Limits.Patience || !f.Next.After(now) || f.Past && rules.Options().TryAfterCutoff {
		return nil, g.Recipients
	}
	for _, n := range g.Recipients {
		r := &m.Recipients[n]
		plan := rules.Plan(retry.Error{
			Recipient: r.Address, Sender: m.Accepted.Envelope.From, Kind: f.Kind, Reply: f.Reply, MX: !g.Target.Named,
			Since: f.First, FirstFailed: r.FirstFailed, Now: now,
		})
		if plan.Expired && !plan.Past {
			try = append(try, n)
			continue
		}
		wait = append(wait, outcome.Verdict{
			Recipient: n, What: outcome.Deferred, Kind: f.Kind, Reply: f.Reply, Router: g.Router, Wait: f.Next.Add(q.Now().Sub(now)),
		})
	}
	return wait, try
}

// spare puts off those recipients of a group whose site is known to be bad, and
// returns those who are to be tried.
func (d *Deliverer) spare(q *queue.Office, m *state.Message, g sorting.Group) []uint32 {
	wait, try := d.bad(q, m, g)
	if len(wait) > 0 {
		a := d.newAttempt(q, m, nil)
		a.goes(g.Router, g.Target, &g.Handling)
		a.Host, a.IP = g.Target.Hosts[0].Name, g.Target.Hosts[0].Addr.String()
		d.record(a, wait)
	}
	return try
}

// recollection is what the cluster knows of hosts that fail, and which of them
// were found to work of late.
type recollection struct {
	*memory.Book
	flush.Late
}

// back has mail that waits for hosts tried at once: one of them works again, and
// the others are of its site.
func (d *Deliverer) back(keys []memory.Key) {
	var hosts []string
	for _, key := range keys {
		if name, ok := key.HostName(); ok && !slices.Contains(hosts, name) {
			hosts = append(hosts, name)
		}
	}
	if len(hosts) == 0 || !d.memory.Begin(hosts[0], d.o.Now()) {
		return
	}
	for _, q := range d.offices.all() {
		d.recorders.Go(func() {
			n, err := flush.Run(d.work, q, hosts, func(ctx context.Context, id mail.MessageID, recipients []uint32) error {
				return d.hasten(ctx, q, id, recipients)
			})
			if err != nil {
				d.o.Log.Warn("mail that waits for a host keeps its time", "host", hosts[0], "error", err)
			}
			if n > 0 {
				d.o.Log.Info("a host works again: what waits for it is tried", "host", hosts[0], "shard", q.Shard(), "messages", n)
			}
		})
	}
}

// hasten makes recipients due. It uses up no retry step.
func (d *Deliverer) hasten(ctx context.Context, q *queue.Office, id mail.MessageID, recipients []uint32) error {
	return d.o.Queue.Resolve(ctx, queue.Outcome{ID: id, Events: []event.Event{&event.Deferred{
		Recipients: recipients, Attempt: event.Attempt{Node: d.o.Process.Node}, Due: q.Now(),
	}}})
}
