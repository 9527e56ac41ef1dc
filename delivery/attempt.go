package delivery

import (
	"context"
	"fmt"
	"io"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"quorumta/delivery/outcome"
	"quorumta/delivery/outgoing"
	"quorumta/delivery/recipient"
	"quorumta/delivery/route"
	"quorumta/delivery/site"
	"quorumta/delivery/sorting"
	"quorumta/delivery/transport"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/queue"
	"quorumta/queue/state"
)

// claimTimeout is how long a claim may take to be committed.
const claimTimeout = 30 * time.Second

// attempt is one job being carried out.
type attempt struct {
	outcome.Attempt
	whereto
	d          *Deliverer
	office     *queue.Office
	recipients []uint32
	began      time.Time
	// form is the form in which the message goes out.
	form outgoing.Form
	// damaged: the stored content is not what was accepted.
	damaged bool

	spanContext trace.SpanContext

	// begun: a claim has, and is claiming, or there is a refusal.
	begun    bool
	claiming *queue.Claiming
	refusal  error
	// claim is what came of it, once claimed has said so.
	claim queue.Claim
}

func (d *Deliverer) newAttempt(q *queue.Office, m *state.Message, recipients []uint32) *attempt {
	return &attempt{
		d: d, office: q, recipients: recipients, began: d.o.Now(),
		Attempt: outcome.Attempt{
			Message: m, By: d.o.Process, Term: q.Term(),
			Content: func() (io.ReadCloser, error) {
				return q.Open(&m.Accepted)
			},
		},
	}
}

// goes notes where the attempt goes, and what routers have said of it.
func (a *attempt) goes(router string, t route.Target, handling *mail.Handling) {
	a.Router, a.Transport, a.traced, a.policy = router, t.Transport, t.Trace, t.Policy
	a.hosts, a.MX, a.way = t.Hosts, !t.Named, t.Way
	if handling != nil {
		a.Handling = *handling
	}
}

// at notes where the attempt has come to.
func (a *attempt) at(where site.Failure) { a.Host, a.IP = where.Host, where.IP }

// span begins the attempt's span: in the message's own trace while that is
// young, else in one of its own that links to it.
func (a *attempt) span(ctx context.Context) (context.Context, trace.Span) {
	t := a.Message.Accepted.Trace
	parent := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: t.TraceID, SpanID: t.SpanID, TraceFlags: trace.TraceFlags(t.Flags), Remote: true,
	})
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)}
	switch {
	case !parent.IsValid():
	case a.office.Now().Sub(a.Message.At) <= traceAge:
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	default:
		options = append(options, trace.WithLinks(trace.Link{SpanContext: parent}))
	}
	ctx, span := a.d.o.Tracer.Start(ctx, "delivery.attempt", options...)
	a.spanContext = span.SpanContext()
	if span.IsRecording() {
		span.SetAttributes(
			attribute.String("quorumta.message.id", string(a.Message.Accepted.ID)),
			attribute.Int("quorumta.shard", int(a.office.Shard())),
		)
	}
	return ctx, span
}

// part begins a part of the span in ctx. Where nobody records that one, it is
// the part as well: its end says nothing.
func (d *Deliverer) part(ctx context.Context, name string) (context.Context, trace.Span) {
	if whole := trace.SpanFromContext(ctx); !whole.IsRecording() {
		return ctx, whole
	}
	return d.o.Tracer.Start(ctx, name)
}

// traceAge is how long attempts belong to the trace of the transaction that
// accepted the message: a trace of days defeats samplers.
const traceAge = 10 * time.Minute

// traceparent is what goes before the content: for a host that is trusted, where the
// attempt is in its trace (W3C Trace Context, section 3.2). The one who reads it
// takes the topmost, as with Received; what came with the message stays.
func (a *attempt) traceparent() string {
	if !a.traced {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), a.spanContext), carrier)
	value := carrier.Get("traceparent")
	if value == "" {
		return ""
	}
	return "traceparent: " + value + "\r\n"
}

// prepare gives the content the form in which it goes out to a peer.
func (a *attempt) prepare(ctx context.Context, content io.Reader, peer transport.Peer) error {
	accepted := &a.Message.Accepted
	l := outgoing.Letter{
		Content: content, Open: a.Content, Size: accepted.Size,
		Facts: a.Facts(0), From: a.Envelope().From, Forwarded: sorting.Forwarded(a.Message, a.recipients[0]), Delivers: a.Delivers, Top: a.traceparent(),
		Add: a.Handling.Add, Remove: a.Handling.Remove, UTF8: accepted.Envelope.UTF8, Now: a.d.o.Now(),
	}
	err := l.Fit(peer.SevenBit, a.way.Conversion())
	if err == nil {
		a.form, err = a.d.rules.Load().Outgoing.Prepare(ctx, l)
	}
	return err
}

// Open implements transport.Source.
func (a *attempt) Open() (io.ReadCloser, error) { return a.form.Open() }

// Facts implements transport.Source.
func (a *attempt) Facts(i int) *policy.Facts {
	f := recipient.Facts(a.Message, a.recipients[i])
	f.Data = a.Handling.Data
	return a.d.rules.Load().Router.Seen(a.Router, f)
}

// begin puts the claim of the recipients on its way: it takes about as long as
// the server takes to answer.
func (a *attempt) begin() {
	a.begun = true
	a.claiming, a.refusal = a.office.Begin(a.Message.Accepted.ID, a.recipients)
}

// claimed waits for the claim that has begun.
func (a *attempt) claimed() error {
	if a.claiming != nil {
		a.claim, a.refusal = a.claiming.Wait(a.d.records, claimTimeout)
	}
	return a.refusal
}

// errSick: nothing is sent whose outcome could not be recorded.
var errSick = fmt.Errorf("%w: the store is sick", queue.ErrNotInOffice)

// lastLook is asked right before the final dot.
func (a *attempt) lastLook() error {
	if err := a.claimed(); err != nil {
		return err
	}
	if !a.d.may(a.office) {
		return errSick
	}
	return a.office.MaySend(a.claim)
}
