// Package clerk keeps a node's orders up to date, says whose mail has to wait by
// them, and notes what is learnt from servers' answers for all nodes.
package clerk

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"quorumta/delivery/limit"
	"quorumta/delivery/order"
	"quorumta/internal/mail"
	"quorumta/queue/state"
)

// Options say what a clerk works with; every field is needed. The functions are
// called from many goroutines.
type Options struct {
	// Each calls f for the notes whose keys have a prefix, and Changed is closed
	// when they have changed since the call; Note writes one.
	Each    func(prefix string, f func(key, value string, until time.Time))
	Changed func() <-chan struct{}
	Note    func(ctx context.Context, key, value string, until time.Time) error
	// Known reports whether all notes are known that were written before.
	Known func() bool
	// Changes is called when orders have changed.
	Changes func()
	// Spawn runs f, with a context that ends with the recording of outcomes.
	Spawn func(f func(context.Context))
	Now   func() time.Time
	Log   *slog.Logger
	// Lessons counts what was learnt.
	Lessons metric.Int64Counter
}

// Clerk is the one of a process; safe for concurrent use.
type Clerk struct {
	o        Options
	orders   order.Book
	learning sync.Map // keys of what is being learnt
	informed chan struct{}
}

// Site is a site of a process.
type Site interface {
	// Key names the site; Names are its key and the names of its hosts.
	Key() string
	Names() (key string, hosts []string)
	// Heard is what follows from a server's answer, by which rule; nil: nothing.
	Heard(r mail.Reply) (pattern *limit.Pattern, rule string)
}

// New makes a clerk who knows no orders before Run.
func New(o Options) *Clerk { return &Clerk{o: o, informed: make(chan struct{})} }

// Wait waits until the clerk knows the orders that were given before he began, or
// has waited for long enough to hear of them; or until ctx ends.
func (c *Clerk) Wait(ctx context.Context) {
	select {
	case <-c.informed:
	case <-ctx.Done():
	}
}

// obeyPause is the shortest time between two looks at the orders.
const obeyPause = 100 * time.Millisecond

// patience is how long delivery waits, after a start, until all orders are known
// that may have been given before: a shard without a leader must not stop it.
const patience = 5 * time.Second

// Run keeps the orders up to date until ctx ends.
func (c *Clerk) Run(ctx context.Context) {
	var known []order.Note
	began, informed := c.o.Now(), false
	for ctx.Err() == nil {
		changed := c.o.Changed()
		complete := c.o.Known() || c.o.Now().Sub(began) > patience
		var notes []order.Note
		for _, prefix := range []string{order.Suspensions, order.Lessons} {
			c.o.Each(prefix, func(key, value string, until time.Time) {
				notes = append(notes, order.Note{Key: key, Value: value, Until: until})
			})
		}
		var ends time.Time
		if !slices.Equal(notes, known) {
			known, ends = notes, c.orders.Set(notes)
			c.o.Changes()
		} else if len(notes) > 0 {
			ends = c.orders.Set(notes)
		}
		wait := time.Hour
		if complete && !informed {
			informed = true
			close(c.informed)
		}
		if !informed {
			wait = obeyPause
		}
		if !ends.IsZero() && informed {
			wait = max(ends.Sub(c.o.Now()), 0)
		}
		idle(ctx, obeyPause, nil)
		idle(ctx, wait, changed)
	}
}

// idle waits for a time, or until the channel is closed, or ctx ends.
func idle(ctx context.Context, d time.Duration, changed <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-timer.C:
	}
}

// Lessons tells what was learnt of a site, as site.Lessons.
func (c *Clerk) Lessons(key string) (connections int, factor float64) {
	for _, l := range c.orders.Lessons(key, c.o.Now()) {
		if l.Connections > 0 {
			connections = l.Connections
		}
		if l.Factor > 0 {
			factor = l.Factor
		}
	}
	return connections, factor
}

// Free are those of the recipients whose mail need not wait by an order about
// sender, login or domain. The list given stays as it is.
func (c *Clerk) Free(m *state.Message, recipients []uint32) []uint32 {
	if c.orders.None() {
		return recipients
	}
	now := c.o.Now()
	return slices.DeleteFunc(slices.Clone(recipients), func(n uint32) bool {
		return c.orders.Mail(m.Accepted.Envelope.From, m.Accepted.Client.Login, m.Recipients[n].Address.Domain, now) != ""
	})
}

// Waits reports whether the mail of a site is to wait by an order.
func (c *Clerk) Waits(s Site) bool {
	if c.orders.None() {
		return false
	}
	key, hosts := s.Names()
	return c.orders.Site(key, hosts, c.o.Now()) != ""
}

// By is the key of the note by which a recipient's mail waits; "": of none. s is
// its site, nil where that is not known.
func (c *Clerk) By(m *state.Message, n uint32, s Site) (key string) {
	now := c.o.Now()
	key = c.orders.Mail(m.Accepted.Envelope.From, m.Accepted.Client.Login, m.Recipients[n].Address.Domain, now)
	if key == "" && s != nil {
		site, hosts := s.Names()
		key = c.orders.Site(site, hosts, now)
	}
	return key
}

// Heed draws conclusions from what servers of a site have answered, by the
// patterns of its rules: all nodes learn of them.
func (c *Clerk) Heed(s Site, replies ...mail.Reply) {
	var last mail.Reply
	for _, r := range replies {
		if r == last {
			continue
		}
		last = r
		if p, rule := s.Heard(r); p != nil {
			c.learn(s.Key(), p, rule, r)
			return
		}
	}
}

// learn notes what was learnt of a site, unless that is known for long enough.
func (c *Clerk) learn(key string, p *limit.Pattern, rule string, r mail.Reply) {
	now := c.o.Now()
	l := order.Lesson{
		Site: key, Rule: rule, Pattern: p.Match.String(), Reply: r.String(),
		Suspend: p.Suspend, Connections: p.Connections, Factor: p.Factor, Until: now.Add(p.For),
	}
	for _, known := range c.orders.Lessons(key, now) {
		if known.Key() == l.Key() && known.Until.Sub(now) > p.For/2 {
			return
		}
	}
	if _, busy := c.learning.LoadOrStore(l.Key(), true); busy {
		return
	}
	c.o.Spawn(func(ctx context.Context) {
		defer c.learning.Delete(l.Key())
		c.o.Lessons.Add(ctx, 1, metric.WithAttributes(attribute.String("what", l.Sort())))
		c.o.Log.WarnContext(ctx, "learnt from a server's answer", "site", key, "rule", rule, "pattern", l.Pattern,
			"reply", l.Reply, "suspend", l.Suspend, "connections", l.Connections, "factor", l.Factor, "until", l.Until)
		if err := c.o.Note(ctx, l.Key(), l.Value(), l.Until); err != nil {
			c.o.Log.WarnContext(ctx, "what was learnt is not known to all nodes", "site", key, "error", err)
		}
	})
}
