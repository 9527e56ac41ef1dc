package delivery

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"quorumta/delivery/clerk"
	"quorumta/delivery/memory"
	"quorumta/delivery/order"
	"quorumta/delivery/outcome"
	"quorumta/delivery/retry"
	"quorumta/delivery/site"
	"quorumta/delivery/window"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/state"
)

// Waiting is why an open recipient has not been delivered, and what comes next,
// as the node knows it that leads the message's shard.
type Waiting struct {
	Recipient uint32
	// Rule and Step are the retry rule's that put the recipient off; "" where
	// nothing has failed yet, or, of Rule, where none fits. Expires is when a
	// failure will be final; zero where nothing has failed yet.
	Rule, Step string
	Expires    time.Time
	// For is what it waits for, one of the constants below, until a time, if that
	// is known, and Why.
	For   string
	Until time.Time
	Why   string
}

// What a recipient waits for.
const (
	ForRelease = "release"    // somebody holds the message, or it was restored
	ForOrder   = "order"      // an operator, or what a server has answered, has its mail wait
	ForAnswer  = "answer"     // an attempt is under way
	ForRouting = "routing"    // the routers are asked
	ForSite    = "site"       // its site rests, or is being probed
	ForTurn    = "connection" // other mail is before it, or the site's limit is reached
	ForHost    = "host"       // its host is known to be bad
	ForTime    = "time"       // the retry rule's next attempt
	ForDate    = "date"       // its sender wants it released later (RFC 4865)
	ForSweep   = "sweep"      // the scheduler will find it
)

// Explain says of each open recipient of a message why it waits; ok is false
// where this node does not lead the shard, or the message is not open.
func (d *Deliverer) Explain(id mail.MessageID) (all []Waiting, ok bool) {
	for _, q := range d.offices.all() {
		if q.Shard() != id.Shard() {
			continue
		}
		m, open := q.Message(id)
		if !open {
			return nil, false
		}
		x := explanation{d: d, q: q, m: m}
		key := window.Key{Office: window.Office{Shard: q.Shard(), Term: q.Term()}, ID: id}
		x.jobs, x.routing = d.window.Where(key)
		x.parked = d.window.Parked(key)
		for i := range m.Recipients {
			if m.Recipients[i].Phase.Open() {
				all = append(all, x.of(uint32(i)))
			}
		}
		return all, true
	}
	return nil, false
}

// explanation is a message being explained.
type explanation struct {
	d       *Deliverer
	q       *queue.Office
	m       *state.Message
	jobs    []*window.Job
	routing bool
	parked  *site.Site // by an order about it
}

func (x *explanation) of(n uint32) Waiting {
	w := Waiting{Recipient: n}
	r := &x.m.Recipients[n]
	x.planned(&w, r)
	job := slices.IndexFunc(x.jobs, func(j *window.Job) bool { return slices.Contains(j.Recipients, n) })
	switch now := x.q.Now(); {
	case x.m.Held:
		w.For, w.Why = ForRelease, "held: "+x.m.HeldWhy
	case x.m.Suspended:
		w.For, w.Why = ForRelease, "restored from a backup"
	case r.Phase == state.InFlight:
		w.For = ForAnswer
	case x.ordered(&w, job):
	case job >= 0:
		x.inLane(&w, x.jobs[job].Lane.Site)
	case r.FirstFailed.IsZero() && r.Due.After(now) && r.Due.Equal(x.m.Accepted.Due):
		w.For, w.Until = ForDate, r.Due
	case r.Due.After(now):
		w.For, w.Until = ForTime, r.Due
		x.bad(&w, r)
	case x.routing:
		w.For = ForRouting
	default:
		w.For = ForSweep
	}
	return w
}

// ordered says by what order a recipient waits, if it does.
func (x *explanation) ordered(w *Waiting, job int) bool {
	var s clerk.Site
	switch {
	case job >= 0:
		s = x.jobs[job].Lane.Site
	case x.parked != nil:
		s = x.parked
	}
	key := x.d.clerk.By(x.m, w.Recipient, s)
	if key == "" {
		return false
	}
	w.For, w.Why = ForOrder, key
	n, _ := x.d.o.Queue.Noted(key)
	w.Until = n.Until
	if subject, name, ok := order.Parse(key); ok {
		w.Why = fmt.Sprintf("%s %s is suspended by %s: %s", subject, name, n.By, n.Why)
	}
	var l order.Lesson
	if strings.HasPrefix(key, order.Lessons) && json.Unmarshal([]byte(n.Value), &l) == nil {
		w.Why = fmt.Sprintf("rule %s suspends the site for its answer %s", l.Rule, l.Reply)
	}
	return true
}

// planned fills in what the retry rules said of the last failure.
func (x *explanation) planned(w *Waiting, r *state.Recipient) {
	if r.FirstFailed.IsZero() {
		return
	}
	rules := x.d.rules.Load()
	v := outcome.Verdict{Recipient: w.Recipient, What: outcome.Deferred, Kind: r.Error, Reply: r.Reply}
	a := outcome.Attempt{Message: x.m}
	a.Since = func(class retry.Class, n uint32) time.Time {
		var f memory.Failure
		switch class {
		case retry.Host:
			f, _, _ = x.d.memory.Named(r.Host)
		case retry.Address:
			f, _ = x.d.memory.Get(addressKey(rules.Retry, x.m, n))
		}
		return f.First
	}
	plan := rules.Retry.Plan(a.Error(&v, r.LastFailed))
	w.Rule, w.Expires = plan.Rule, plan.Until
	if plan.Step < len(plan.Steps) {
		w.Step = plan.Steps[plan.Step].String()
	}
}

// inLane says why a job of a site waits.
func (x *explanation) inLane(w *Waiting, s *site.Site) {
	if until, why, ok := s.Suspended(); ok {
		w.For, w.Until, w.Why = ForSite, until, failure(why.Host, why.Reply)
		return
	}
	if why, ok := s.Failing(); ok {
		w.For, w.Why = ForSite, "it is being tried; before: "+failure(why.Host, why.Reply)
		return
	}
	w.For, w.Why = ForTurn, "other mail is before it, or the limit of connections is reached"
}

// bad says so where the host that failed is known to be bad.
func (x *explanation) bad(w *Waiting, r *state.Recipient) {
	if retry.ClassOf(r.Error) != retry.Host {
		return
	}
	f, address, ok := x.d.memory.Named(r.Host)
	if !ok {
		return
	}
	w.For = ForHost
	w.Why = fmt.Sprintf("%s has failed since %s, last at node %s: %s", address, f.First.UTC().Format(time.RFC3339), f.Node, reply(f.Reply))
}

func failure(host string, r mail.Reply) string { return host + ": " + reply(r) }

// reply is a server's answer, or our own words.
func reply(r mail.Reply) string {
	if r.Code == 0 {
		return r.Text
	}
	return r.String()
}
