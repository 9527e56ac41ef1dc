package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/semaphore"

	"quorumta/delivery/outcome"
	"quorumta/delivery/outgoing"
	"quorumta/delivery/site"
	"quorumta/delivery/transport"
	"quorumta/delivery/window"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/event"
)

// claimsAhead is how many messages of one connection may be claimed without
// their outcome on record: it bounds what a crash leaves in doubt (PROTOCOL
// 32).
const claimsAhead = 2

// worker carries out the jobs of a lane, over one connection at a time.
type worker struct {
	d    *Deliverer
	lane *window.Lane
	conn transport.Conn
	// carried counts the messages that went over conn.
	carried int
	// message is the one on its way: there is one at a time. sent: it counts as one
	// for the host; one that we gave up before its dot does not.
	message transport.Message
	sent    bool
	// unsettled counts claims; it holds claimsAhead at most.
	unsettled *semaphore.Weighted
}

// startWorker makes use of a right that the window gave.
func (d *Deliverer) startWorker(l *window.Lane) {
	d.workers.Go(func() {
		w := worker{d: d, lane: l, unsettled: semaphore.NewWeighted(claimsAhead)}
		w.run()
		l.Site.End()
		d.window.Ended(l)
	})
}

func (w *worker) run() {
	var wait time.Duration
	for {
		j := w.d.window.Next(w.lane, wait)
		if j == nil {
			break
		}
		if !w.lane.Site.Await(w.d.work, len(j.Recipients), w.d.o.Limits.Idle) {
			w.d.window.Requeue(j) // it waits on without a connection
			break
		}
		w.sent = false
		connected := w.carryOut(j)
		if !w.sent {
			w.lane.Site.Return(len(j.Recipients))
		}
		if !connected {
			break
		}
		wait = 0
		if w.conn != nil {
			wait = w.lane.Site.Idle(w.d.o.Limits.Idle)
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
func (w *worker) carryOut(j *window.Job) bool {
	plan := j.Plan
	j.Plan = nil
	if plan != nil && w.d.o.Now().Sub(plan.At) > freshFor {
		plan = nil
	}
	a := w.d.attempt(j, plan)
	if a != nil {
		a.recipients = w.d.clerk.Free(a.Message, a.recipients)
	}
	if a == nil || len(a.recipients) == 0 || w.d.clerk.Waits(w.lane.Site) || !w.d.patient(a.office) {
		w.d.window.Done(j, time.Time{})
		return true
	}
	ctx, span := a.span(w.d.work)
	defer span.End()
	if plan != nil && !span.IsRecording() { // a trace shows how long routing takes
		a.goes(plan.Router, plan.Target, j.Handling)
	} else if !w.reroute(ctx, a) {
		w.d.window.Done(j, w.d.o.Now())
		return true
	}
	connected := w.try(ctx, a, j)
	if span.IsRecording() {
		span.SetAttributes(attribute.String("server.address", a.Host))
	}
	return connected
}

// freshFor is how long a message need not be read and routed once more before
// it is tried. What was read may be stale by then: the claim tells.
const freshFor = time.Second

// attempt is one of the job's recipients that nobody has settled since; nil
// where there are none. Of a plan, which is nil or fresh, it takes their word.
func (d *Deliverer) attempt(j *window.Job, plan *window.Plan) *attempt {
	q := d.offices.get(j.Office)
	if q == nil {
		return nil
	}
	if plan != nil {
		return d.newAttempt(q, plan.Message, j.Recipients)
	}
	m, ok := q.Message(j.ID)
	if !ok || m.Held {
		return nil
	}
	var due []uint32
	now := q.Now()
	for _, n := range j.Recipients {
		if isDue(m, n, now) {
			due = append(due, n)
		}
	}
	if len(due) == 0 {
		return nil
	}
	return d.newAttempt(q, m, due)
}

// reroute asks the routers again, since the job may have waited for long and
// addresses change. It is false where the recipients do not belong here any
// more.
func (w *worker) reroute(ctx context.Context, a *attempt) bool {
	ctx, span := w.d.part(ctx, "dns")
	defer span.End()
	all := w.d.routeAll(ctx, a.office, a.Message, a.recipients)
	if len(all.Groups) != 1 || len(all.Ended) > 0 || len(all.Expanded) > 0 || all.Groups[0].Target.Key != w.lane.Site.Key() {
		return false
	}
	g := all.Groups[0]
	w.d.site(g, a.Message)
	a.goes(g.Router, g.Target, &g.Handling)
	return true
}

// try sends the message, over the connection in hand or a new one. One in hand
// may have been closed meanwhile, so its failure does not count. It is false
// where there is no connection.
func (w *worker) try(ctx context.Context, a *attempt, j *window.Job) bool {
	for {
		reused := w.conn != nil
		if !reused && !w.connect(ctx, a, j) {
			return false
		}
		res, err := w.send(ctx, a)
		var failure site.Failure
		if err != nil {
			failure = site.SessionFailure(w.conn.Peer(), err)
		}
		if reused && err != nil && !res.Dot && !ours(err) {
			w.sent = false
			w.leave()
			continue
		}
		w.learn(err, failure, res)
		if err != nil && !ours(err) {
			a.failed = a.peer(a.Host, a.IP)
		}
		cause := outcome.Cause{Kind: failure.Kind, Reply: failure.Reply}
		if ours(err) && !res.Dot {
			cause = ourCause(err)
		}
		w.settle(a, j, outcome.Judge(a.recipients, res, err, cause))
		return true
	}
}

func ours(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.Ours
}

// ourCause says what is wrong with ourselves: nothing, where the right to send
// has gone elsewhere, or we are ending.
func ourCause(err error) outcome.Cause {
	cause := outcome.Cause{Kind: event.ErrorInternal, Reply: mail.Reply{Text: err.Error()}}
	if errors.Is(err, queue.ErrStale) || errors.Is(err, queue.ErrNotInOffice) || errors.Is(err, context.Canceled) {
		cause.Kind = event.ErrorNone
	}
	return cause
}

// connect opens a connection. If it cannot, it ends the attempt: the job waits
// on if the site has only refused one more, else its recipients are deferred.
func (w *worker) connect(ctx context.Context, a *attempt, j *window.Job) bool {
	conn, failure := w.lane.Site.Connect(ctx, a.policy)
	if failure == nil {
		w.d.meters.Connected(true)
		w.conn, w.carried = conn, 0
		peer := conn.Peer()
		for _, key := range a.peer(peer.Host, peer.IP) {
			w.d.memory.Worked(key, hostKeys(a.hosts))
		}
		return true
	}
	what := outcome.Deferred
	switch {
	case w.d.work.Err() != nil:
		what = outcome.Returned
	case failure.Final:
		w.d.meters.Connected(false)
		what = outcome.Failed
	default:
		w.d.meters.Connected(false)
		if !w.lane.Site.Refused(*failure) {
			what = outcome.Returned
		}
	}
	a.at(*failure)
	if !failure.Demand {
		a.failed = hostKeys(a.hosts)
	}
	trace.SpanFromContext(ctx).SetStatus(codes.Error, failure.Reply.Text)
	if what == outcome.Returned && !a.begun {
		w.d.clerk.Heed(w.lane.Site, failure.Reply)
		w.d.window.Requeue(j)
		return false
	}
	w.settle(a, j, alike(a.recipients, what, *failure))
	return false
}

// alike is the same verdict for all.
func alike(recipients []uint32, what outcome.What, why site.Failure) []outcome.Verdict {
	verdicts := make([]outcome.Verdict, len(recipients))
	for i, n := range recipients {
		verdicts[i] = outcome.Verdict{Recipient: n, What: what, Kind: why.Kind, Reply: why.Reply}
	}
	return verdicts
}

// send carries out the transaction, while the claim is being committed.
func (w *worker) send(ctx context.Context, a *attempt) (transport.Result, error) {
	peer := w.conn.Peer()
	a.Host, a.IP, a.TLS, a.RelaysDSN, a.Delivers = peer.Host, peer.IP, peer.TLS, peer.RelaysDSN, peer.Delivers
	content, err := a.Content()
	if err != nil {
		a.damaged = errors.Is(err, queue.ErrDamaged)
		return untried(a), &transport.Error{Phase: transport.PhaseMail, Err: fmt.Errorf("read the content: %w", err), Ours: true}
	}
	defer func() { _ = content.Close() }()
	if peer.Recipients > 0 && !a.begun {
		a.recipients = a.recipients[:min(peer.Recipients, len(a.recipients))]
	}
	if err := w.begin(ctx, a); err != nil {
		return untried(a), &transport.Error{Phase: transport.PhaseMail, Err: err, Ours: true}
	}
	if err := a.prepare(ctx, content, peer); err != nil {
		return w.unprepared(ctx, a, err)
	}
	defer a.form.Close()
	w.d.meters.Signed(a.form.Signatures)
	if a.form.BrokenChain != nil {
		w.d.o.Log.InfoContext(ctx, "the ARC chain of a message does not hold: sealed as such", "id", a.Message.Accepted.ID, "error", a.form.BrokenChain)
	}
	ctx, span := w.d.part(ctx, "smtp.data")
	defer span.End()
	e := a.Envelope()
	w.message = transport.Message{
		ID: a.Message.Accepted.ID, From: a.form.From, Return: e.Return, EnvID: e.EnvID, EightBit: e.EightBit, UTF8: e.UTF8,
		RequireTLS: e.RequireTLS, Priority: e.Priority,
		Size: a.form.Size, Content: a.form.Content, Again: a,
		BeforeDot:  a.lastLook,
		Recipients: w.message.Recipients[:0],
	}
	for _, n := range a.recipients {
		r := &a.Message.Recipients[n]
		w.message.Recipients = append(w.message.Recipients, r.Recipient)
		// A server that offers CHUNKING and cannot do it gets another way.
		w.message.Plain = w.message.Plain || r.Attempt > 0
	}
	res, err := w.conn.Send(ctx, &w.message)
	w.sent = err == nil || res.Dot || !ours(err)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		a.damaged = errors.Is(err, queue.ErrDamaged)
	}
	return res, err
}

// unprepared is what a message comes to that has no form to go out in.
func (w *worker) unprepared(ctx context.Context, a *attempt, err error) (transport.Result, error) {
	res := untried(a)
	var refusal *outgoing.Refusal
	if errors.As(err, &refusal) {
		w.d.o.Log.ErrorContext(ctx, "message not prepared for delivery", "id", a.Message.Accepted.ID, "error", err)
		res.Mail = refusal.Reply
		return res, nil
	}
	a.damaged = errors.Is(err, queue.ErrDamaged)
	return res, &transport.Error{Phase: transport.PhaseMail, Err: err, Ours: true}
}

// untried is the result of a transaction that was not begun.
func untried(a *attempt) transport.Result {
	return transport.Result{Rcpts: make([]mail.Reply, len(a.recipients))}
}

// begin has the attempt claimed, once, when there is room for one more claim.
func (w *worker) begin(ctx context.Context, a *attempt) error {
	if a.begun {
		return a.refusal
	}
	if err := w.unsettled.Acquire(ctx, 1); err != nil {
		return err
	}
	a.begin()
	return a.refusal
}

// learn draws conclusions about the site, and leaves a connection that is of
// no use any more.
func (w *worker) learn(err error, failure site.Failure, res transport.Result) {
	switch {
	case err == nil:
		if res.Worked() {
			w.carried++
			w.lane.Site.Worked()
		}
		if w.conn.Closed() || w.carried >= w.lane.Site.Messages(cmp.Or(w.conn.Peer().Messages, w.d.o.Limits.Messages)) {
			w.leave()
		}
	default:
		w.leave()
		if w.carried == 0 && !ours(err) {
			w.lane.Site.Refused(failure)
		}
	}
}

// settle puts the verdicts on record while the worker goes on.
func (w *worker) settle(a *attempt, j *window.Job, verdicts []outcome.Verdict) {
	w.d.clerk.Heed(w.lane.Site, outcome.Refusals(verdicts)...)
	w.d.recorders.Go(func() {
		again := w.d.record(a, verdicts)
		if a.begun {
			w.unsettled.Release(1)
		}
		if len(a.recipients) < len(j.Recipients) {
			again = a.office.Now() // the server takes fewer at a time
		}
		w.d.window.Done(j, w.d.here(a.office, again))
	})
}

// postpone defers a job that has waited for a failing site for too long.
func (d *Deliverer) postpone(j *window.Job) {
	a := d.attempt(j, nil)
	if a == nil {
		d.window.Done(j, time.Time{})
		return
	}
	why, _ := j.Lane.Site.Failing()
	if j.Handling != nil {
		a.Handling = *j.Handling
	}
	a.at(why)
	a.hosts = j.Lane.Site.Hosts()
	again := d.record(a, alike(a.recipients, outcome.Deferred, why))
	d.window.Done(j, d.here(a.office, again))
}
