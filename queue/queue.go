package queue

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/queue/attempt"
	"quorumta/queue/call"
	"quorumta/queue/clock"
	"quorumta/queue/event"
	"quorumta/queue/feed"
	"quorumta/queue/intake"
	"quorumta/queue/notes"
	"quorumta/queue/office"
	"quorumta/queue/permits"
	"quorumta/queue/query"
	"quorumta/queue/state"
)

// Why a message is not taken. All of them are the sender's 4yz.
const (
	// ErrUnavailable: no shard takes mail; nothing was proposed (451 4.3.0).
	ErrUnavailable = intake.ErrUnavailable
	// ErrDiskFull: no shard takes mail for want of disk (452 4.3.1).
	ErrDiskFull = intake.ErrDiskFull
	// ErrUnsettled: the message may or may not have been committed, or was
	// abandoned on record (451 4.3.0).
	ErrUnsettled = intake.ErrUnsettled
)

// What else the queue fails with.
var (
	// ErrNotFound: no such message, open or remembered.
	ErrNotFound = office.ErrNotFound
	// ErrStale: the attempt is not the current one or the recipient is closed;
	// no final dot may be sent.
	ErrStale = office.ErrStale
	// ErrNotInOffice: this node does not lead the shard in that term any more;
	// no final dot may be sent.
	ErrNotInOffice = office.ErrNotInOffice
	// ErrDamaged: the stored content does not match its digest.
	ErrDamaged = office.ErrDamaged
	// ErrTooNew: a member of the cluster runs a program that does not know this
	// yet, or the upgrade was not finished.
	ErrTooNew = office.ErrTooNew
	// ErrNoMap: this node has joined, and has not heard yet which shards there
	// are: ask again in a moment.
	ErrNoMap = query.ErrNoMap
)

// Options says how a queue works.
type Options struct {
	// SubmitWait is how long an unknown outcome is asked after; 0 means 30 s.
	SubmitWait time.Duration
	// History is how long ended messages are remembered; less than an hour
	// counts as one, for ids stay refusable that long.
	History time.Duration
	// UploadTimeout is after what time an unfinished upload is swept; 0 means
	// one hour.
	UploadTimeout time.Duration
	// HoldDoubts holds recipients in doubt instead of trying them again.
	HoldDoubts bool
	// SpoolDir keeps the content of large messages until they are
	// acknowledged; "" means the system's directory for temporary files.
	SpoolDir string
	// Filter compiles the expression of a Selection; nil: none is allowed.
	Filter func(expr string) (func(*state.Message) (bool, error), error)
	// Level is the level of the format of events that the cluster may use: what
	// every member knows, and no more before an upgrade is finished. nil means
	// event.Newest.
	Level func() int
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
	// Rand is where ids come from, safe for concurrent use; nil means
	// crypto/rand.
	Rand io.Reader
	// Log, Tracer and Meter; nil means slog.Default, and none.
	Log    *slog.Logger
	Tracer trace.Tracer
	Meter  metric.Meter
}

// Queue is the queue of a cluster, seen from one node.
type Queue struct {
	node *cluster.Node
	way  way
	o    Options
	self event.Process

	counters
	attempts *attempt.Table
	clock    *clock.Watch
	buffers  sync.Pool // of *[]byte: encoded entries
	meters   meters
	desk     desk
	offices  *office.Options // what every office works with
	intake   *intake.Intake
	queries  *query.Asker
	shared   // by all nodes

	unsettled unsettled
}

// shared is what all nodes know, and what they divide.
type shared struct {
	notes   *notes.Board
	permits *permits.Desk
}

// counters number what a queue does.
type counters struct {
	seq  atomic.Uint64 // of Submitter.Seq
	turn atomic.Uint64 // takes shards in turn
}

// way is how a queue reaches logs: a node, or a node with faults in its way.
// It is called from any number of goroutines; the contracts are those of
// cluster.Node.
type way interface {
	Accepting(shard uint16) error
	Leader(shard uint16) string
	Propose(ctx context.Context, shard uint16, term uint64, data []byte) ([]cluster.Result, error)
	Call(ctx context.Context, node, method string, request []byte) ([]byte, error)
}

// New makes the queue of a node that has not been run yet: it hosts the node's
// machines and handles its calls.
func New(node *cluster.Node, o Options) *Queue { return newQueue(node, node, o) }

func newQueue(node *cluster.Node, w way, o Options) *Queue {
	o = o.withDefaults()
	q := &Queue{
		node:     node,
		way:      w,
		o:        o,
		self:     event.Process{Node: node.Name(), Boot: node.Boot()},
		attempts: attempt.NewTable(),
		buffers:  sync.Pool{New: func() any { return new([]byte) }},
	}
	q.desk.open(q)
	q.meters = newMeters(q)
	q.clock = q.newWatch()
	q.offices = q.newOffices()
	q.intake = q.newIntake()
	q.queries = q.newQueries()
	q.shared = shared{notes: q.newNotes(), permits: q.newPermits()}
	node.Host(func(id cluster.ShardID) cluster.Machine { return q.desk.host(id) })
	q.handleCalls()
	return q
}

func (q *Queue) newIntake() *intake.Intake {
	return intake.New(intake.Options{
		Place:         q.place,
		Propose:       q.propose,
		Draw:          q.draw,
		Submitter:     q.submitter,
		Spawn:         q.desk.spawn,
		Unsettled:     q.unsettle,
		SubmitWait:    q.o.SubmitWait,
		UploadTimeout: q.o.UploadTimeout,
		SpoolDir:      q.o.SpoolDir,
		Log:           q.o.Log,
		Tracer:        q.o.Tracer,
		Meter:         q.o.Meter,
	})
}

func (q *Queue) newQueries() *query.Asker {
	return query.New(query.Options{
		Node:   q.self.Node,
		Shards: q.node.Shards,
		Led:    func(shard uint16) bool { return q.desk.office(shard) != nil },
		Leader: q.way.Leader,
		Call:   q.way.Call,
		Others: q.others,
		View:   q.view,
		Follow: q.follow,
		Spawn: func(f func(context.Context)) bool {
			return q.desk.spawn(func() { f(q.desk.ctx) })
		},
		Now:    q.now,
		Filter: q.o.Filter,
	})
}

func (o Options) withDefaults() Options {
	if o.SubmitWait <= 0 {
		o.SubmitWait = 30 * time.Second
	}
	o.History = max(o.History, time.Hour)
	if o.UploadTimeout <= 0 {
		o.UploadTimeout = time.Hour
	}
	if o.Level == nil {
		o.Level = func() int { return event.Newest }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Tracer == nil {
		o.Tracer = tracenoop.NewTracerProvider().Tracer("")
	}
	if o.Meter == nil {
		o.Meter = metricnoop.NewMeterProvider().Meter("")
	}
	return o
}

// handleCalls names the calls between the queues of a cluster. A name and
// its encodings may change only with the version of the cluster.
func (q *Queue) handleCalls() {
	q.node.Handle(callPropose, q.servePropose)
	q.node.Handle(office.CallContent, q.serveContent)
	q.node.Handle(attempt.Method, call.Answer(q.serveAttempts))
	q.node.Handle(callResume, call.Answer(q.serveResume))
	q.node.Handle(callClock, call.Answer(q.serveClock))
	for _, methods := range []map[string]call.Handler{q.queries.Handlers(), q.notes.Handlers(), q.permits.Handlers()} {
		for method, h := range methods {
			q.node.Handle(method, h)
		}
	}
}

// Run does the queue's own chores (settling claims on taking office, sweeping,
// pruning) until ctx ends; when it returns nothing of it is running, and the
// queue takes nothing any more.
func (q *Queue) Run(ctx context.Context) error {
	defer q.meters.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watch sync.WaitGroup
	watch.Go(func() { q.clock.Run(ctx) })
	watch.Go(func() { q.notes.Run(ctx) })
	watch.Go(func() { q.permits.Run(ctx) })
	err := q.Offices(ctx, func(ctx context.Context, o *Office) { o.Keep(ctx) })
	watch.Wait()
	q.desk.close()
	return err
}

// Process is this run of this node, as claims name it.
func (q *Queue) Process() event.Process { return q.self }

// Ready says whether a message could be taken now: nil, ErrUnavailable or
// ErrDiskFull. It asks nobody and takes no time.
func (q *Queue) Ready() error {
	_, err := q.place(nil)
	return err
}

// ClockTrusted reports whether this node's clock may decide that time is up:
// Expired and Warned of a node whose clock is off are not recorded.
func (q *Queue) ClockTrusted() bool { return q.clock.Trusted() }

// Submission is what smtp knows of a message beside its content.
type Submission = intake.Submission

// Upload is a message on its way in. It is used by one goroutine.
type Upload = intake.Upload

// Begin starts a message. prefix makes the header that goes before what is
// written, from the message's id; it is called again if the message has to
// turn to another shard, where it gets another id. It fails with
// ErrUnavailable or ErrDiskFull.
func (q *Queue) Begin(ctx context.Context, prefix func(mail.MessageID) []byte) (*Upload, error) {
	return q.intake.Begin(ctx, prefix)
}

// MayWish reports whether an envelope may say what its sender wishes of TLS (RFC
// 8689), and how urgent the message is (RFC 6710): every member understands it.
func (q *Queue) MayWish() bool {
	wish := &event.Accepted{Envelope: mail.Envelope{RequireTLS: true}}
	return q.mayPropose(event.Group{Events: []event.Event{wish}}) == nil
}

// draw draws the id of a message of the shard.
func (q *Queue) draw(shard uint16) mail.MessageID {
	var random [5]byte
	if _, err := io.ReadFull(q.o.Rand, random[:]); err != nil {
		panic("queue: the random source has ended: " + err.Error())
	}
	return mail.NewMessageID(q.now(), shard, random)
}

// submitter numbers a submission of this process.
func (q *Queue) submitter() event.Submitter {
	return event.Submitter{Process: q.self, Seq: q.seq.Add(1)}
}

// follow follows what this node's replica of a shard folds; nil if there is
// none.
func (q *Queue) follow(shard uint16) *feed.Follower[state.Record] {
	if s := q.desk.shard(shard); s != nil {
		return s.feed.Follow()
	}
	return nil
}

// now is the wall clock as events have it.
func (q *Queue) now() time.Time { return q.o.Now().UTC().Truncate(time.Millisecond) }
