package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel/trace"
)

// timeFormat is RFC 3339 with milliseconds; times are in UTC.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

func newLog(o Options) (*slog.Logger, error) {
	var to io.Writer = os.Stderr
	if o.LogTo != nil {
		to = o.LogTo
	}
	options := &slog.HandlerOptions{Level: o.LogLevel, ReplaceAttr: inUTC}
	var h slog.Handler
	switch o.LogFormat {
	case "", "json":
		h = slog.NewJSONHandler(to, options)
	case "text":
		h = slog.NewTextHandler(to, options)
	default:
		return nil, fmt.Errorf("log format %q: json or text is expected", o.LogFormat)
	}
	log := slog.New(traced{h})
	if o.Node != "" {
		log = log.With("node", o.Node)
	}
	return log, nil
}

// inUTC writes times in UTC: lines of machines in different zones are read
// side by side.
func inUTC(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindTime {
		a.Value = slog.StringValue(a.Value.Time().UTC().Format(timeFormat))
	}
	return a
}

// traced adds the span that a line is written in.
type traced struct{ slog.Handler }

// Handle implements slog.Handler.
func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if s := trace.SpanContextFromContext(ctx); s.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", s.TraceID().String()), slog.String("span_id", s.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h traced) WithAttrs(a []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(a)} }

// WithGroup implements slog.Handler.
func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }
