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
	"quorumta/delivery/site"
	"quorumta/queue"
	"quorumta/queue/state"
)

// claimTimeout is how long a claim may take to be committed.
const claimTimeout = 30 * time.Second

// attempt is one job being carried out.
type attempt struct {
	outcome.Attempt
	d          *Deliverer
	office     *queue.Office
	recipients []uint32
	began      time.Time
	// traced: the hosts are told the trace.
	traced bool
	// damaged: the stored content is not what was accepted.
	damaged bool

	spanContext trace.SpanContext

	// claimed is closed when claim and claimErr are known; nil before the
	// claim has begun.
	claimed  chan struct{}
	claim    queue.Claim
	claimErr error
}

func (d *Deliverer) newAttempt(q *queue.Office, m *state.Message, recipients []uint32) *attempt {
	return &attempt{
		d: d, office: q, recipients: recipients, began: d.o.Now(),
		Attempt: outcome.Attempt{
			Message: m, By: d.o.Process, Term: q.Term(),
			Content: func() (io.ReadCloser, error) {
				content, _, err := q.Content(m.Accepted.ID)
				return content, err
			},
		},
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
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(
			attribute.String("quorumta.message.id", string(a.Message.Accepted.ID)),
			attribute.Int("quorumta.shard", int(a.office.Shard())),
		),
	}
	switch {
	case !parent.IsValid():
	case a.office.Now().Sub(a.Message.At) <= traceAge:
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	default:
		options = append(options, trace.WithLinks(trace.Link{SpanContext: parent}))
	}
	ctx, span := a.d.o.Tracer.Start(ctx, "delivery.attempt", options...)
	a.spanContext = span.SpanContext()
	return ctx, span
}

// traceAge is how long attempts belong to the trace of the transaction that
// accepted the message: a trace of days defeats samplers.
const traceAge = 10 * time.Minute

// header is what goes before the content: for a host that is trusted, where the
// attempt is in its trace (W3C Trace Context, section 3.2). The one who reads it
// takes the topmost, as with Received; what came with the message stays.
func (a *attempt) header() string {
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

// begin has the recipients claimed, in a goroutine: it takes about as long as
// the server takes to answer.
func (a *attempt) begin() {
	a.claimed = make(chan struct{})
	a.d.recorders.Go(func() {
		defer close(a.claimed)
		ctx, cancel := context.WithTimeout(a.d.records, claimTimeout)
		defer cancel()
		a.claim, a.claimErr = a.office.Claim(ctx, a.Message.Accepted.ID, a.recipients)
	})
}

// errSick: nothing is sent whose outcome could not be recorded.
var errSick = fmt.Errorf("%w: the store is sick", queue.ErrNotInOffice)

// lastLook is asked right before the final dot.
func (a *attempt) lastLook() error {
	<-a.claimed
	switch {
	case a.claimErr != nil:
		return a.claimErr
	case !a.d.may(a.office):
		return errSick
	}
	return a.office.MaySend(a.claim)
}
