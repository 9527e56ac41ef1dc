package telemetry

import (
	"context"
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// Traceparent is a span context as it travels and as events keep it (W3C Trace
// Context, section 3.2). The zero Traceparent is none.
type Traceparent struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte // 1: sampled
}

// ParseTraceparent reads the header field's value:
//
//	00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
//
// A later version is read as far as its first four parts go; ok is false for
// anything the recommendation calls invalid.
func ParseTraceparent(s string) (p Traceparent, ok bool) {
	const length = 2 + 1 + 32 + 1 + 16 + 1 + 2
	if len(s) < length || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return Traceparent{}, false
	}
	if strings.ToLower(s) != s { // upper-case digits are invalid
		return Traceparent{}, false
	}
	var version, flags [1]byte
	for _, part := range []struct {
		to   []byte
		from string
	}{{version[:], s[:2]}, {p.TraceID[:], s[3:35]}, {p.SpanID[:], s[36:52]}, {flags[:], s[53:55]}} {
		if _, err := hex.Decode(part.to, []byte(part.from)); err != nil {
			return Traceparent{}, false
		}
	}
	longer := len(s) > length
	if version[0] == 0xff || (version[0] == 0 && longer) || (longer && s[length] != '-') {
		return Traceparent{}, false
	}
	if p.TraceID == [16]byte{} || p.SpanID == [8]byte{} {
		return Traceparent{}, false
	}
	p.Flags = flags[0]
	return p, true
}

// String is the header field's value; "" for none.
func (p Traceparent) String() string {
	if p.TraceID == [16]byte{} {
		return ""
	}
	return "00-" + hex.EncodeToString(p.TraceID[:]) + "-" + hex.EncodeToString(p.SpanID[:]) + "-" +
		hex.EncodeToString([]byte{p.Flags & 1})
}

// FromContext is the span context of ctx.
func FromContext(ctx context.Context) Traceparent {
	s := trace.SpanContextFromContext(ctx)
	if !s.IsValid() {
		return Traceparent{}
	}
	return Traceparent{TraceID: s.TraceID(), SpanID: s.SpanID(), Flags: byte(s.TraceFlags())}
}

// Context makes p the remote parent of spans started in the context.
func (p Traceparent) Context(ctx context.Context) context.Context {
	return trace.ContextWithRemoteSpanContext(ctx, p.spanContext())
}

// Link points from another trace to p.
func (p Traceparent) Link() trace.Link { return trace.Link{SpanContext: p.spanContext()} }

func (p Traceparent) spanContext() trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: p.TraceID, SpanID: p.SpanID, TraceFlags: trace.TraceFlags(p.Flags), Remote: true,
	})
}
