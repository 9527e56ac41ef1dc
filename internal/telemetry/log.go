package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel/trace"
)

// timeFormat is RFC 3339 with milliseconds; times are in UTC.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// newLog makes the log, and what flushes it: lines below a warning wait a
// little for others.
func newLog(o Options) (log *slog.Logger, flush func(), err error) {
	to := newLines(os.Stderr)
	if o.LogTo != nil {
		to = newLines(o.LogTo)
	}
	options := &slog.HandlerOptions{Level: o.LogLevel, ReplaceAttr: inUTC}
	var h slog.Handler
	switch o.LogFormat {
	case "", "json":
		h = slog.NewJSONHandler(to, options)
	case "text":
		h = slog.NewTextHandler(to, options)
	default:
		return nil, nil, fmt.Errorf("log format %q: json or text is expected", o.LogFormat)
	}
	log = slog.New(handler{h, to.Flush})
	if o.Node != "" {
		log = log.With("node", o.Node)
	}
	return log, to.Flush, nil
}

// inUTC writes times in UTC: lines of machines in different zones are read
// side by side.
func inUTC(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindTime {
		a.Value = slog.StringValue(a.Value.Time().UTC().Format(timeFormat))
	}
	return a
}

// handler adds the span that a line is written in, and has warnings and errors
// written at once: they may be the last words.
type handler struct {
	slog.Handler
	flush func()
}

// Handle implements slog.Handler.
func (h handler) Handle(ctx context.Context, r slog.Record) error {
	if s := trace.SpanContextFromContext(ctx); s.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", s.TraceID().String()), slog.String("span_id", s.SpanID().String()))
	}
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.flush()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(a []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(a), h.flush}
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name), h.flush}
}
