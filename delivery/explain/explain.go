// Package explain says why recipients of messages wait, and what comes next.
package explain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"quorumta/delivery/clerk"
	"quorumta/delivery/memory"
	"quorumta/delivery/order"
	"quorumta/delivery/retry"
	"quorumta/delivery/site"
	"quorumta/internal/mail"
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
	// Warns is when its sender will be told of the delay, zero if not.
	Warns time.Time
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

// Case is a message whose recipients wait, and what a node knows of it.
type Case struct {
	Message *state.Message
	// Now is its shard's time.
	Now time.Time
	// Jobs are recipients that wait at sites, or are being sent to; Routing: the
	// routers are asked about others.
	Jobs    []Job
	Routing bool
	// Parked is the site about which an order has the message wait; nil: none.
	Parked *site.Site
	Clerk  *clerk.Clerk
	Memory *memory.Book
	// Plan is what the retry rules say of a recipient's last failure; Warnings are
	// those for mail about which the rules say nothing else.
	Plan     func(n uint32) retry.Plan
	Warnings retry.Warnings
	// Order is the note under a key.
	Order func(key string) Order
}

// Job is recipients of the message that wait at a site together.
type Job struct {
	Recipients []uint32
	Site       *site.Site
}

// Order is a note by which mail waits: who wrote it and why, and until when it
// holds.
type Order struct {
	Value, By, Why string
	Until          time.Time
}

// Waiting says of each open recipient why it waits.
func (c *Case) Waiting() (all []Waiting) {
	for i := range c.Message.Recipients {
		if c.Message.Recipients[i].Phase.Open() {
			all = append(all, c.of(uint32(i)))
		}
	}
	return all
}

func (c *Case) of(n uint32) Waiting {
	w := Waiting{Recipient: n}
	r := &c.Message.Recipients[n]
	c.planned(&w, r)
	job := slices.IndexFunc(c.Jobs, func(j Job) bool { return slices.Contains(j.Recipients, n) })
	switch now := c.Now; {
	case c.Message.Held:
		w.For, w.Why = ForRelease, "held: "+c.Message.HeldWhy
	case c.Message.Suspended:
		w.For, w.Why = ForRelease, "restored from a backup"
	case r.Phase == state.InFlight:
		w.For = ForAnswer
	case c.ordered(&w, job):
	case job >= 0:
		c.inLane(&w, c.Jobs[job].Site)
	case r.FirstFailed.IsZero() && r.Due.After(now) && r.Due.Equal(c.Message.Accepted.Due):
		w.For, w.Until = ForDate, r.Due
	case r.Due.After(now):
		w.For, w.Until = ForTime, r.Due
		c.bad(&w, r)
	case c.Routing:
		w.For = ForRouting
	default:
		w.For = ForSweep
	}
	return w
}

// ordered says by what order a recipient waits, if it does.
func (c *Case) ordered(w *Waiting, job int) bool {
	var s clerk.Site
	switch {
	case job >= 0:
		s = c.Jobs[job].Site
	case c.Parked != nil:
		s = c.Parked
	}
	key := c.Clerk.By(c.Message, w.Recipient, s)
	if key == "" {
		return false
	}
	o := c.Order(key)
	w.For, w.Until, w.Why = ForOrder, o.Until, o.Words(key)
	return true
}

// Words say who has mail wait by the order under a key, and why.
func (o Order) Words(key string) string {
	if subject, name, ok := order.Parse(key); ok {
		return fmt.Sprintf("%s %s is suspended by %s: %s", subject, name, o.By, o.Why)
	}
	var l order.Lesson
	if strings.HasPrefix(key, order.Lessons) && json.Unmarshal([]byte(o.Value), &l) == nil {
		return fmt.Sprintf("rule %s suspends the site for its answer %s", l.Rule, l.Reply)
	}
	return key
}

// planned fills in what the retry rules said of the last failure.
func (c *Case) planned(w *Waiting, r *state.Recipient) {
	if r.FirstFailed.IsZero() {
		return
	}
	plan := c.Plan(w.Recipient)
	w.Rule, w.Expires = plan.Rule, plan.Until
	if plan.Step < len(plan.Steps) {
		w.Step = plan.Steps[plan.Step].String()
	}
	warnings := c.Warnings
	if plan.Warnings != nil {
		warnings = plan.Warnings
	}
	if at, ok := warnings.Next(c.Message.Released(), r.Warned); ok && at.Before(plan.Until) {
		w.Warns = at
	}
}

// inLane says why a job of a site waits.
func (c *Case) inLane(w *Waiting, s *site.Site) {
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
func (c *Case) bad(w *Waiting, r *state.Recipient) {
	if retry.ClassOf(r.Error) != retry.Host {
		return
	}
	f, address, ok := c.Memory.Named(r.Host)
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
