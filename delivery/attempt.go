package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"quorumta/delivery/site"
	"quorumta/delivery/smtpc"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/state"
)

// claimsAhead is how many messages of one connection may be claimed without
// their outcome on record: it bounds what a crash leaves in doubt (PROTOCOL
// 32).
const claimsAhead = 2

// claimTimeout is how long a claim may take to be committed.
const claimTimeout = 30 * time.Second

// attempt is one job being carried out.
type attempt struct {
	d          *Deliverer
	office     *office
	m          *state.Message
	router     string
	transport  string
	recipients []uint32
	began      time.Time
	host       site.Failure // where the last try went; its Reply is not used
	secrecy    string
	// relaysDSN: the server promised to report success itself.
	relaysDSN bool
	// damaged: the stored content is not what was accepted.
	damaged bool

	spanContext trace.SpanContext

	// claimed is closed when claim and claimErr are known; nil before the
	// claim has begun.
	claimed  chan struct{}
	claim    queue.Claim
	claimErr error
}

// worker carries out the jobs of a lane, over one connection at a time.
type worker struct {
	d    *Deliverer
	lane *lane
	conn *site.Conn
	// unsettled counts claims; it holds claimsAhead at most.
	unsettled *semaphore.Weighted
}

// startWorker makes use of a right that the window gave.
func (d *Deliverer) startWorker(l *lane) {
	d.workers.Go(func() {
		w := worker{d: d, lane: l, unsettled: semaphore.NewWeighted(claimsAhead)}
		w.run()
		l.site.End()
		d.window.ended(l)
	})
}

func (w *worker) run() {
	var wait time.Duration
	for {
		j := w.d.window.next(w.lane, wait)
		if j == nil {
			break
		}
		if !w.carryOut(j) {
			break
		}
		wait = 0
		if w.conn != nil {
			wait = w.d.o.Limits.Idle
		}
	}
	w.leave()
}

// leave ends the connection, if there is one.
func (w *worker) leave() {
	if w.conn != nil {
		w.conn.Leave(w.d.work)
		w.conn = nil
	}
}

// carryOut makes one attempt of a job; false when the site gives no connection.
func (w *worker) carryOut(j *job) bool {
	m, ok := j.office.Message(j.id)
	var due []uint32
	if ok && !m.Held {
		due = stillDue(m, j.recipients, w.d.o.Now())
	}
	if len(due) == 0 {
		w.d.window.done(j, time.Time{})
		return true
	}
	a := &attempt{d: w.d, office: j.office, m: m, recipients: due, began: w.d.o.Now()}
	ctx, span := a.span(w.d.work)
	defer span.End()
	a.spanContext = span.SpanContext()
	if !w.reroute(ctx, a, j) {
		w.d.window.done(j, w.d.o.Now())
		return true
	}
	connected := w.try(ctx, a, j)
	span.SetAttributes(attribute.String("server.address", a.host.Host))
	return connected
}

// stillDue are the recipients of a job that nobody has settled since.
func stillDue(m *state.Message, recipients []uint32, now time.Time) []uint32 {
	var due []uint32
	for _, n := range recipients {
		if r := &m.Recipients[n]; r.Phase == state.Pending && !r.Due.After(now) {
			due = append(due, n)
		}
	}
	return due
}

// span begins the attempt's span: in the message's own trace while that is
// young, else in one of its own that links to it.
func (a *attempt) span(ctx context.Context) (context.Context, trace.Span) {
	t := a.m.Accepted.Trace
	parent := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: t.TraceID, SpanID: t.SpanID, TraceFlags: trace.TraceFlags(t.Flags), Remote: true,
	})
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(
			attribute.String("quorumta.message.id", string(a.m.Accepted.ID)),
			attribute.Int("quorumta.shard", int(a.office.Shard())),
		),
	}
	switch {
	case !parent.IsValid():
	case a.began.Sub(a.m.At) <= traceAge:
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	default:
		options = append(options, trace.WithLinks(trace.Link{SpanContext: parent}))
	}
	return a.d.o.Tracer.Start(ctx, "delivery.attempt", options...)
}

// traceAge is how long attempts belong to the trace of the transaction that
// accepted the message: a trace of days defeats samplers.
const traceAge = 10 * time.Minute

// reroute asks the routers again, since the job may have waited for long and
// addresses change. It is false where the recipients do not belong here any
// more.
func (w *worker) reroute(ctx context.Context, a *attempt, j *job) bool {
	ctx, span := w.d.o.Tracer.Start(ctx, "dns")
	defer span.End()
	all := w.d.routeAll(ctx, a.m, a.recipients)
	if len(all.groups) != 1 || len(all.ended) > 0 || all.groups[0].target.Key != w.lane.site.Key() {
		return false
	}
	g := all.groups[0]
	w.d.sites.Site(g.target)
	a.router, a.transport = g.router, g.target.Transport
	return true
}

// try sends the message, over the connection in hand or a new one. One in hand
// may have been closed meanwhile, so its failure does not count. It is false where there is no
// connection.
func (w *worker) try(ctx context.Context, a *attempt, j *job) bool {
	for {
		reused := w.conn != nil
		if !reused && !w.connect(ctx, a, j) {
			return false
		}
		res, err := w.send(ctx, a)
		var failure site.Failure
		if err != nil {
			failure = w.conn.SessionFailure(err)
		}
		if reused && err != nil && !res.Dot && !ours(err) {
			w.leave()
			continue
		}
		w.learn(err, failure, res)
		w.settle(a, j, judge(a.recipients, res, err, failure))
		return true
	}
}

func ours(err error) bool {
	var e *smtpc.Error
	return errors.As(err, &e) && e.Ours
}

// connect opens a connection. If it cannot, it ends the attempt: the job waits
// on if the site has only refused one more, else its recipients are deferred.
func (w *worker) connect(ctx context.Context, a *attempt, j *job) bool {
	conn, failure := w.lane.site.Connect(ctx)
	if failure == nil {
		w.d.meters.connected(true)
		w.conn = conn
		return true
	}
	what := deferred
	if w.d.work.Err() != nil {
		what = returned
	} else {
		w.d.meters.connected(false)
		if !w.lane.site.Refused(*failure) {
			what = returned
		}
	}
	a.host = *failure
	trace.SpanFromContext(ctx).SetStatus(codes.Error, failure.Reply.Text)
	if what == returned && a.claimed == nil {
		w.d.window.requeue(j)
		return false
	}
	verdicts := make([]verdict, len(a.recipients))
	for i, n := range a.recipients {
		verdicts[i] = verdict{recipient: n, what: what, kind: failure.Kind, reply: failure.Reply}
	}
	w.settle(a, j, verdicts)
	return false
}

// send carries out the transaction, while the claim is being committed.
func (w *worker) send(ctx context.Context, a *attempt) (smtpc.Result, error) {
	a.host = site.Failure{Host: w.conn.Host, IP: w.conn.IP}
	a.secrecy = w.conn.Secrecy
	a.relaysDSN = w.conn.Extensions().DSN
	content, size, err := a.office.Content(a.m.Accepted.ID)
	if err != nil {
		a.damaged = errors.Is(err, queue.ErrDamaged)
		return untried(a), &smtpc.Error{Phase: smtpc.PhaseMail, Err: fmt.Errorf("read the content: %w", err), Ours: true}
	}
	defer func() { _ = content.Close() }()
	if most := w.conn.Extensions().Recipients; most > 0 && a.claimed == nil {
		a.recipients = a.recipients[:min(most, len(a.recipients))]
	}
	if err := w.begin(ctx, a); err != nil {
		return untried(a), &smtpc.Error{Phase: smtpc.PhaseMail, Err: err, Ours: true}
	}
	ctx, span := w.d.o.Tracer.Start(ctx, "smtp.data")
	defer span.End()
	e := &a.m.Accepted.Envelope
	message := smtpc.Message{
		From: e.From, Return: e.Return, EnvID: e.EnvID, EightBit: e.EightBit, UTF8: e.UTF8,
		Size: size, Content: content, BeforeDot: a.lastLook,
	}
	for _, n := range a.recipients {
		message.Recipients = append(message.Recipients, a.m.Recipients[n].Recipient)
	}
	res, err := w.conn.Send(ctx, &message)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		a.damaged = errors.Is(err, queue.ErrDamaged)
	}
	return res, err
}

// untried is the result of a transaction that was not begun.
func untried(a *attempt) smtpc.Result {
	return smtpc.Result{Rcpts: make([]mail.Reply, len(a.recipients))}
}

// begin has the recipients claimed, in a goroutine: it takes about as long as
// the server takes to answer. An attempt is claimed once.
func (w *worker) begin(ctx context.Context, a *attempt) error {
	if a.claimed != nil {
		return nil
	}
	if err := w.unsettled.Acquire(ctx, 1); err != nil {
		return err
	}
	a.claimed = make(chan struct{})
	w.d.recorders.Go(func() {
		defer close(a.claimed)
		ctx, cancel := context.WithTimeout(w.d.records, claimTimeout)
		defer cancel()
		a.claim, a.claimErr = a.office.Claim(ctx, a.m.Accepted.ID, a.recipients)
	})
	return nil
}

// lastLook is asked right before the final dot.
func (a *attempt) lastLook() error {
	<-a.claimed
	if a.claimErr != nil {
		return a.claimErr
	}
	return a.office.MaySend(a.claim)
}

// learn draws conclusions about the site, and leaves a connection that is of
// no use any more.
func (w *worker) learn(err error, failure site.Failure, res smtpc.Result) {
	switch {
	case err == nil:
		if res.Final.Positive() {
			w.conn.Carried++
			w.lane.site.Worked()
		}
		if w.conn.Closed() || w.conn.Carried >= w.d.o.Limits.Messages {
			w.leave()
		}
	default:
		carried := w.conn.Carried
		w.leave()
		if carried == 0 && !ours(err) {
			w.lane.site.Refused(failure)
		}
	}
}

// settle puts the verdicts on record while the worker goes on.
func (w *worker) settle(a *attempt, j *job, verdicts []verdict) {
	w.d.recorders.Go(func() {
		again := w.d.record(a, verdicts)
		if a.claimed != nil {
			w.unsettled.Release(1)
		}
		if len(a.recipients) < len(j.recipients) {
			again = w.d.o.Now() // the server takes fewer at a time
		}
		w.d.window.done(j, again)
	})
}

// postpone defers a job that has waited for a failing site for too long.
func (d *Deliverer) postpone(j *job) {
	now := d.o.Now()
	m, ok := j.office.Message(j.id)
	if !ok {
		d.window.done(j, time.Time{})
		return
	}
	why, _ := j.lane.site.Failing()
	a := &attempt{d: d, office: j.office, m: m, began: now, host: why}
	var verdicts []verdict
	for _, n := range stillDue(m, j.recipients, now) {
		verdicts = append(verdicts, verdict{recipient: n, what: deferred, kind: why.Kind, reply: why.Reply})
	}
	d.window.done(j, d.record(a, verdicts))
}
