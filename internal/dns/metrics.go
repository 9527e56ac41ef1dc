package dns

import (
	"context"
	"errors"
	"time"

	"github.com/miekg/dns"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

type metrics struct {
	duration  metric.Float64Histogram
	questions metric.Int64Counter
	aheads    metric.Int64Counter
	gauge     metric.Registration
}

func newMetrics(meter metric.Meter, size func() int) (m metrics, err error) {
	if meter == nil {
		meter = otel.Meter("dns")
	}
	var faults [4]error
	m.duration, faults[0] = meter.Float64Histogram("quorumta_dns_lookup_duration",
		metric.WithUnit("s"),
		metric.WithDescription("Time of DNS look-ups by type, result, and whether they were answered from memory"))
	m.questions, faults[1] = meter.Int64Counter("quorumta_dns_questions",
		metric.WithDescription("Questions to name servers by network and whether an answer came"))
	m.aheads, faults[2] = meter.Int64Counter("quorumta_dns_prefetches",
		metric.WithDescription("Questions about popular names whose answers were about to end"))
	entries, err := meter.Int64ObservableGauge("quorumta_dns_cache_entries",
		metric.WithDescription("Answers that are remembered"))
	faults[3] = err
	if err := errors.Join(faults[:]...); err != nil {
		return m, err
	}
	m.gauge, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(entries, int64(size()))
		return nil
	}, entries)
	return m, err
}

func (m metrics) close() { _ = m.gauge.Unregister() }

func (m metrics) record(ctx context.Context, q question, err error, hit bool, took time.Duration) {
	m.duration.Record(ctx, took.Seconds(), metric.WithAttributes(
		attribute.String("type", dns.TypeToString[q.qtype]),
		attribute.String("result", resultName(err)),
		attribute.Bool("cached", hit)))
}

func (m metrics) asked(ctx context.Context, network string, err error) {
	m.questions.Add(context.WithoutCancel(ctx), 1, metric.WithAttributes(
		attribute.String("network", network), attribute.Bool("answered", err == nil)))
}

func resultName(err error) string {
	switch {
	case err == nil:
		return "found"
	case errors.Is(err, ErrNotFound):
		return "not_found"
	case errors.Is(err, ErrNoData):
		return "no_data"
	case errors.Is(err, ErrBogus):
		return "bogus"
	case abandoned(err):
		return "abandoned"
	}
	return "temporary"
}
