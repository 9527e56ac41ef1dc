package delivery

import (
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/trace"

	"quorumta/delivery/meters"
	"quorumta/delivery/outcome"
)

// load is what metrics tell of what is there now.
func (d *Deliverer) load() meters.Load {
	l := d.window.Load()
	return meters.Load{
		Jobs: l.Jobs, Waiting: l.Waiting, Connections: l.Workers, Suspended: l.Suspended,
		Paused: int(d.offices.paused.Load()), Failures: d.memory.Len(),
	}
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
