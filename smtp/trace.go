package smtp

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/queue/event"
)

// tracedVerdicts is how many decisions of a transaction become spans.
const tracedVerdicts = 100

// traced is a transaction's span. It is started when the header has been read,
// dated back to MAIL: only the header names a parent.
type traced struct {
	ctx  context.Context
	span trace.Span
}

// verdict is a decision of the stage rcpt, kept until the span can be made.
type verdict struct {
	rule         string
	do           policy.Verdict
	err          error
	began, ended time.Time
}

func (t *transaction) note(v verdict) {
	if len(t.verdicts) < tracedVerdicts {
		t.verdicts = append(t.verdicts, v)
	}
}

// startTrace starts the span smtp.transaction. A traceparent is believed from
// trusted clients alone: others could tie their mail to foreign traces, or
// have everything sampled.
func (s *session) startTrace(t *transaction, traceparent string) {
	ctx := s.conn.Context()
	if traceparent != "" && t.policy.Trusted != "" && t.policy.Env.In(s.addr, t.policy.Trusted) {
		carrier := propagation.MapCarrier{"traceparent": traceparent}
		ctx = propagation.TraceContext{}.Extract(ctx, carrier)
	}
	ctx, span := s.server.o.Tracer.Start(ctx, "smtp.transaction",
		trace.WithTimestamp(t.began),
		trace.WithSpanKind(trace.SpanKindServer))
	t.trace = &traced{ctx, span}
	if !span.IsRecording() {
		t.verdicts = nil
		return
	}
	span.SetAttributes(
		attribute.String("client.address", s.client.IP),
		attribute.String("smtp.listener", s.client.Listener),
		attribute.Int("smtp.recipients", len(t.envelope.Recipients)))
	for _, v := range t.verdicts {
		_, child := s.server.o.Tracer.Start(ctx, "policy.rcpt", trace.WithTimestamp(v.began),
			trace.WithAttributes(attribute.String("rule", v.rule), attribute.String("verdict", string(v.do))))
		if v.err != nil {
			child.SetStatus(codes.Error, v.err.Error())
		}
		child.End(trace.WithTimestamp(v.ended))
	}
	t.verdicts = nil
}

func (t *traced) named(id mail.MessageID) {
	t.span.SetAttributes(attribute.String("message.id", string(id)))
}

// event is the span's context as it goes into the event.
func (t *traced) event() event.Trace {
	c := t.span.SpanContext()
	return event.Trace{TraceID: c.TraceID(), SpanID: c.SpanID(), Flags: byte(c.TraceFlags())}
}
