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

type metrics struct{ duration metric.Float64Histogram }

func newMetrics(meter metric.Meter) (metrics, error) {
	if meter == nil {
		meter = otel.Meter("dns")
	}
	duration, err := meter.Float64Histogram("quorumta_dns_lookup_duration",
		metric.WithUnit("s"),
		metric.WithDescription("Time of DNS look-ups by type, result, and whether they were answered from memory"))
	return metrics{duration}, err
}

func (m metrics) record(ctx context.Context, q question, err error, hit bool, took time.Duration) {
	m.duration.Record(ctx, took.Seconds(), metric.WithAttributes(
		attribute.String("type", dns.TypeToString[q.qtype]),
		attribute.String("result", resultName(err)),
		attribute.Bool("cached", hit)))
}

func resultName(err error) string {
	switch {
	case err == nil:
		return "found"
	case errors.Is(err, ErrNotFound):
		return "not_found"
	case errors.Is(err, ErrNoData):
		return "no_data"
	case abandoned(err):
		return "abandoned"
	}
	return "temporary"
}
