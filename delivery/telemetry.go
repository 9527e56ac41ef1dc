package delivery

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"quorumta/delivery/meters"
	"quorumta/delivery/outcome"
	"quorumta/delivery/window"
)

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

// tell logs and counts what has been recorded, a line for each recipient.
func (d *Deliverer) tell(a *attempt, verdicts []outcome.Verdict, now time.Time) {
	ctx := trace.ContextWithSpanContext(d.records, a.spanContext)
	accepted := &a.Message.Accepted
	d.meters.Duration.Record(ctx, a.Took.Seconds())
	lines := d.o.Log.Enabled(ctx, slog.LevelInfo)
	for i := range verdicts {
		v := &verdicts[i]
		d.meters.Settled(ctx, meters.By{Outcome: v.Word(), Transport: a.Transport})
		if v.What == outcome.Doubted {
			d.meters.Doubts.Add(ctx, 1)
		}
		if v.What == outcome.Delivered {
			d.meters.Delay.Record(ctx, now.Sub(a.Message.At).Seconds())
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
