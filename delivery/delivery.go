package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/sync/semaphore"

	"quorumta/delivery/clerk"
	"quorumta/delivery/crew"
	"quorumta/delivery/dsn"
	"quorumta/delivery/gate"
	"quorumta/delivery/limit"
	"quorumta/delivery/memory"
	"quorumta/delivery/meters"
	"quorumta/delivery/outgoing"
	"quorumta/delivery/own"
	"quorumta/delivery/retry"
	"quorumta/delivery/route"
	"quorumta/delivery/site"
	"quorumta/delivery/thaw"
	"quorumta/delivery/window"
	"quorumta/internal/tlspolicy"
	"quorumta/queue"
	"quorumta/queue/event"
)

// Options say what a Deliverer works with. Zero means a default only where it
// is said.
type Options struct {
	// Process is this run of this node, as the queue claims for it.
	Process event.Process
	Queue   *queue.Queue
	// Rules are those to begin with.
	Rules
	// Own is where the relay listens, to be kept up to date while delivery runs;
	// nil where the router does not ask.
	Own *own.Places
	// Memory is what the cluster knows of hosts that fail, to be exchanged while
	// delivery runs; nil: this node keeps what it learns to itself.
	Memory *memory.Book
	// Sites holds the name that we say in EHLO, TLS roots, time-outs and
	// limits of sites. Its clock and tracer are ours if it has none.
	Sites  site.Options
	Limits Limits
	// May reports whether this node may deliver a shard's mail in a term: its
	// store is well, and its lease runs. Asked often, from many goroutines; nil:
	// it always may.
	May func(shard uint16, term uint64) bool
	// Pressed reports that memory is short: delivery then holds fewer
	// connections. Asked often, from many goroutines; nil: it never is.
	Pressed func() bool
	// Now is the wall clock; nil means time.Now. What is due is decided by the
	// shard's own.
	Now func() time.Time
	// Log is where outcomes are told; nil means slog.Default.
	Log *slog.Logger
	// Tracer and Meter; nil means none.
	Tracer trace.Tracer
	Meter  metric.Meter
}

// Rules say where mail goes and in which form, when it is tried again, and what
// senders are told.
type Rules struct {
	Router *route.Table
	// Transports are those of the configuration, by name.
	Transports map[string]site.Transport
	// Sites are what the operator allows sites; nil: there are no rules.
	Sites limit.Rules
	// TLS finds out what domains demand of connections; nil: nobody asks them.
	TLS      *tlspolicy.Checker
	Retry    *retry.Rules
	Warnings retry.Warnings
	DSN      *dsn.Builder
	// Freeze says what becomes of what the relay holds itself.
	Freeze thaw.Freeze
	// Outgoing is what is done to messages on their way out; nil: nothing.
	Outgoing *outgoing.Rules
}

// Limits bound what delivery holds and does at once. Each zero means the
// default.
type Limits struct {
	// Window is the most jobs in memory, a job being a message's recipients at
	// one site; 100,000. A site may fill a quarter of it.
	Window int
	// Connections is the most to all sites together; 500.
	Connections int
	// Messages is the most that one connection carries; 100.
	Messages int
	// Recipients is the most in one transaction; 100.
	Recipients int
	// Routing is how many messages are routed at once; 1,024. One of many
	// recipients counts as several, which bounds memory. One domain has at most
	// a sixteenth of them: its DNS may be slow.
	Routing int
	// Idle is how long an open connection waits for the next message; 2 s.
	Idle time.Duration
	// Patience is how long a job waits for a failing site until its recipients
	// are deferred by rule with the site's error: 15 min.
	Patience time.Duration
	// Drain bounds how long what is in flight may take at the end; 30 s.
	Drain time.Duration
}

func (l Limits) filled() Limits {
	count := func(n *int, value int) {
		if *n == 0 {
			*n = value
		}
	}
	count(&l.Window, 100_000)
	count(&l.Connections, 500)
	count(&l.Messages, 100)
	count(&l.Recipients, 100)
	count(&l.Routing, 1024)
	span := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	span(&l.Idle, 2*time.Second)
	span(&l.Patience, 15*time.Minute)
	span(&l.Drain, 30*time.Second)
	return l
}

func (o Options) filled() Options {
	o.Limits = o.Limits.filled()
	if o.May == nil {
		o.May = func(uint16, uint64) bool { return true }
	}
	if o.Pressed == nil {
		o.Pressed = func() bool { return false }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Memory == nil {
		o.Memory = memory.New(memory.Options{Now: o.Now})
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Tracer == nil {
		o.Tracer = tracenoop.NewTracerProvider().Tracer("")
	}
	if o.Meter == nil {
		o.Meter = noop.NewMeterProvider().Meter("")
	}
	if o.Sites.Now == nil {
		o.Sites.Now = o.Now
	}
	if o.Sites.Tracer == nil {
		o.Sites.Tracer = o.Tracer
	}
	return o
}

// Deliverer delivers the mail of the shards that this node leads.
type Deliverer struct {
	o       Options
	rules   atomic.Pointer[Rules]
	sites   *site.Set
	memory  recollection
	window  *window.Window
	meters  *meters.Meters
	offices offices
	clerk   *clerk.Clerk
	bounds

	// work ends when what is in flight must be given up, records when outcomes
	// must.
	work, records  context.Context
	giveUp, forget context.CancelFunc
	// workers have a connection each; recorders route messages and record
	// outcomes.
	workers   sync.WaitGroup
	recorders crew.Crew
}

// New makes a Deliverer.
func New(o Options) (*Deliverer, error) {
	o = o.filled()
	d := &Deliverer{
		o:     o,
		sites: site.New(o.Sites),
		window: window.New(window.Limits{
			Jobs: o.Limits.Window, Connections: o.Limits.Connections, Patience: o.Limits.Patience, Pressed: o.Pressed,
		}, o.Now),
		bounds: bounds{semaphore.NewWeighted(int64(o.Limits.Routing)), gate.New(max(1, o.Limits.Routing/16))},
	}
	d.memory.Book = o.Memory
	d.memory.OnBack(d.back)
	d.SetRules(o.Rules)
	d.work, d.giveUp = context.WithCancel(context.Background())
	d.records, d.forget = context.WithCancel(context.Background())
	var err error
	d.meters, err = meters.New(o.Meter)
	if err = errors.Join(err, meters.Observe(o.Meter, d.load)); err != nil {
		return nil, err
	}
	d.clerk = clerk.New(clerk.Options{
		Each: o.Queue.EachNote, Changed: o.Queue.NotesChanged, Note: o.Queue.Note, Known: o.Queue.NotesKnown,
		Changes: func() {
			d.sites.SetLessons(d.clerk.Lessons)
			d.window.Unpark()
		},
		Spawn: func(f func(context.Context)) { d.recorders.Go(func() { f(d.records) }) },
		Now:   o.Now, Log: o.Log, Lessons: d.meters.Lessons,
	})
	return d, nil
}

// bounds limit routing: how many messages at once, and how many of them for one
// domain, whose DNS may be slow.
type bounds struct {
	routing *semaphore.Weighted
	gate    *gate.Gate
}

// Sites lists the sites that are remembered, in no order, how many jobs wait for
// each, by its key, and who knows which have to wait.
func (d *Deliverer) Sites() ([]*site.Site, map[string]int, *clerk.Clerk) {
	return d.sites.All(), d.window.Waiting(), d.clerk
}

// SetRules exchanges the rules. An attempt that has begun goes on to where it
// goes; what comes of it is judged by the new ones.
func (d *Deliverer) SetRules(r Rules) {
	d.sites.SetTransports(r.Transports) // before a router leads to them
	d.sites.SetRules(r.Sites)
	d.rules.Store(&r)
	d.memory.Expire(r.Retry.Options().Remember)
}

// recordBound is how long outcomes may take to be recorded at the end.
const recordBound = 10 * time.Second

// Run delivers until ctx ends, and then drains for Limits.Drain at most. When
// it returns nothing of it is running. The queue must run until then: what was
// learnt is still to be recorded. It is called once.
func (d *Deliverer) Run(ctx context.Context) error {
	var chores sync.WaitGroup
	choring, stop := context.WithCancel(context.WithoutCancel(ctx))
	chores.Go(func() { d.dispatch(choring) })
	if d.o.Own != nil {
		chores.Go(func() { d.o.Own.Run(choring) })
	}
	chores.Go(func() { d.memory.Run(choring) })
	chores.Go(func() { d.clerk.Run(choring) })
	err := d.o.Queue.Offices(ctx, d.serve)

	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.o.Limits.Drain)
	defer cancel()
	d.Drain(drain)
	stop()
	chores.Wait()
	late := time.AfterFunc(recordBound, d.forget)
	d.recorders.Wait()
	d.workers.Wait() // one that the last routing began: it ends at once
	late.Stop()
	d.giveUp()
	d.forget()
	return err
}

// Drain stops claiming and waits for what is in flight. When ctx ends before
// that is done, connections are cut: attempts without a dot are returned, those
// whose dot awaits its answer are in doubt. Delivery does not start again.
func (d *Deliverer) Drain(ctx context.Context) {
	d.window.Close()
	stop := context.AfterFunc(ctx, d.giveUp)
	defer stop()
	d.workers.Wait()
}
