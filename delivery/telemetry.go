package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"quorumta/delivery/outcome"
	"quorumta/delivery/window"
)

// meters are the instruments of the room.
type meters struct {
	recipients  metric.Int64Counter
	doubts      metric.Int64Counter
	connections metric.Int64Counter
	signatures  metric.Int64Counter
	duration    metric.Float64Histogram
	delay       metric.Float64Histogram

	mu sync.Mutex
	// outcomes are the attributes of recipients.
	outcomes map[counted]metric.MeasurementOption
}

// counted is what recipients are counted by.
type counted struct{ outcome, transport string }

// settled counts a recipient.
func (x *meters) settled(ctx context.Context, by counted) {
	x.mu.Lock()
	o := x.outcomes[by]
	if o == nil {
		o = metric.WithAttributeSet(attribute.NewSet(
			attribute.String("outcome", by.outcome), attribute.String("transport", by.transport)))
		x.outcomes[by] = o
	}
	x.mu.Unlock()
	x.recipients.Add(ctx, 1, o)
}

func newMeters(m metric.Meter, w *window.Window, paused *atomic.Int64, failures func() int) (*meters, error) {
	x := meters{outcomes: map[counted]metric.MeasurementOption{}}
	var errs [7]error
	x.recipients, errs[0] = m.Int64Counter("quorumta_delivery_recipients",
		metric.WithDescription("Recipients by outcome of an attempt, and by transport; none where they were not routed."))
	x.doubts, errs[1] = m.Int64Counter("quorumta_delivery_doubts",
		metric.WithDescription("Recipients whose final dot was sent and never answered."))
	x.connections, errs[2] = m.Int64Counter("quorumta_delivery_connects",
		metric.WithDescription("Connections to sites, by whether they were made."))
	x.duration, errs[3] = m.Float64Histogram("quorumta_delivery_attempt_duration", metric.WithUnit("s"),
		metric.WithDescription("From the beginning of an attempt to its outcome."))
	x.delay, errs[4] = m.Float64Histogram("quorumta_delivery_delay", metric.WithUnit("s"),
		metric.WithDescription("From acceptance to delivery, by recipient."))
	x.signatures, errs[5] = m.Int64Counter("quorumta_delivery_signatures",
		metric.WithDescription("Signatures put on messages, at each attempt."))
	errs[6] = observe(m, w, paused, failures)
	return &x, errors.Join(errs[:]...)
}

// signed counts signatures.
func (x *meters) signed(n int) {
	if n > 0 {
		x.signatures.Add(context.Background(), int64(n))
	}
}

// observe reports what the window holds whenever metrics are read.
func observe(m metric.Meter, w *window.Window, paused *atomic.Int64, failures func() int) error {
	gauges := []struct {
		name, text string
		value      func(window.Load) int
	}{
		{"quorumta_delivery_jobs", "Jobs in the window.", func(l window.Load) int { return l.Jobs }},
		{"quorumta_delivery_waiting", "Jobs that wait for a connection.", func(l window.Load) int { return l.Waiting }},
		{"quorumta_delivery_connections", "Connections open or being opened.", func(l window.Load) int { return l.Workers }},
		{"quorumta_delivery_offices_paused", "Shards whose mail this node may not deliver now, though it leads them.",
			func(window.Load) int { return int(paused.Load()) }},
		{"quorumta_delivery_failures_known", "Hosts and addresses that are known to fail, at whatever node.", func(window.Load) int { return failures() }},
		{"quorumta_delivery_sites_suspended", "Sites that refuse and rest.", func(l window.Load) int { return l.Suspended }},
	}
	for _, g := range gauges {
		_, err := m.Int64ObservableGauge(g.name, metric.WithDescription(g.text),
			metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
				o.Observe(int64(g.value(w.Load())))
				return nil
			}))
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *meters) connected(ok bool) {
	x.connections.Add(context.Background(), 1, metric.WithAttributes(attribute.Bool("ok", ok)))
}

// tell logs and counts what has been recorded, a line for each recipient.
func (d *Deliverer) tell(a *attempt, verdicts []outcome.Verdict, now time.Time) {
	ctx := trace.ContextWithSpanContext(d.records, a.spanContext)
	accepted := &a.Message.Accepted
	d.meters.duration.Record(ctx, a.Took.Seconds())
	lines := d.o.Log.Enabled(ctx, slog.LevelInfo)
	for i := range verdicts {
		v := &verdicts[i]
		d.meters.settled(ctx, counted{v.Word(), a.Transport})
		if v.What == outcome.Doubted {
			d.meters.doubts.Add(ctx, 1)
		}
		if v.What == outcome.Delivered {
			d.meters.delay.Record(ctx, now.Sub(a.Message.At).Seconds())
		}
		if v.What == outcome.Returned || !lines {
			continue
		}
		router := a.Router
		if v.Router != "" {
			router = v.Router
		}
		d.o.Log.LogAttrs(ctx, slog.LevelInfo, v.Word(),
			slog.String("id", string(accepted.ID)),
			slog.String("from", accepted.Envelope.From.String()),
			slog.String("to", a.Message.Recipients[v.Recipient].Address.String()),
			slog.String("client", accepted.Client.IP),
			slog.String("router", router),
			slog.String("transport", a.Transport),
			slog.String("host", a.Host),
			slog.String("ip", a.IP),
			slog.String("tls", a.TLS),
			slog.String("reply", v.Reply.String()),
			slog.Bool("in_doubt", v.What == outcome.Doubted),
			slog.Int64("delay_ms", now.Sub(a.Message.At).Milliseconds()),
			slog.Uint64("attempt", uint64(a.claim.Number)),
			slog.Uint64("shard", uint64(a.office.Shard())),
			slog.String("rule", v.Rule),
		)
	}
}
