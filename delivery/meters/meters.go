// Package meters holds the instruments of delivery.
package meters

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Meters are the instruments of delivery; safe for concurrent use.
type Meters struct {
	Recipients  metric.Int64Counter
	Doubts      metric.Int64Counter
	Connections metric.Int64Counter
	Signatures  metric.Int64Counter
	Duration    metric.Float64Histogram
	Delay       metric.Float64Histogram
	Lessons     metric.Int64Counter

	mu sync.Mutex
	// outcomes are the attributes of recipients.
	outcomes map[By]metric.MeasurementOption
}

// By is what recipients are By by.
type By struct{ Outcome, Transport string }

// Settled counts a recipient.
func (x *Meters) Settled(ctx context.Context, by By) {
	x.mu.Lock()
	o := x.outcomes[by]
	if o == nil {
		o = metric.WithAttributeSet(attribute.NewSet(
			attribute.String("outcome", by.Outcome), attribute.String("transport", by.Transport)))
		x.outcomes[by] = o
	}
	x.mu.Unlock()
	x.Recipients.Add(ctx, 1, o)
}

// New makes the instruments.
func New(m metric.Meter) (*Meters, error) {
	x := Meters{outcomes: map[By]metric.MeasurementOption{}}
	var errs [7]error
	x.Recipients, errs[0] = m.Int64Counter("quorumta_delivery_recipients",
		metric.WithDescription("Recipients by outcome of an attempt, and by transport; none where they were not routed."))
	x.Doubts, errs[1] = m.Int64Counter("quorumta_delivery_doubts",
		metric.WithDescription("Recipients whose final dot was sent and never answered."))
	x.Connections, errs[2] = m.Int64Counter("quorumta_delivery_connects",
		metric.WithDescription("Connections to sites, by whether they were made."))
	x.Duration, errs[3] = m.Float64Histogram("quorumta_delivery_attempt_duration", metric.WithUnit("s"),
		metric.WithDescription("From the beginning of an attempt to its outcome."))
	x.Delay, errs[4] = m.Float64Histogram("quorumta_delivery_delay", metric.WithUnit("s"),
		metric.WithDescription("From acceptance to delivery, by recipient."))
	x.Signatures, errs[5] = m.Int64Counter("quorumta_delivery_signatures",
		metric.WithDescription("Signatures put on messages, at each attempt."))
	x.Lessons, errs[6] = m.Int64Counter("quorumta_delivery_lessons",
		metric.WithDescription("Conclusions drawn from servers' answers by the rules of sites, by what follows."))
	return &x, errors.Join(errs[:]...)
}

// Signed counts signatures.
func (x *Meters) Signed(n int) {
	if n > 0 {
		x.Signatures.Add(context.Background(), int64(n))
	}
}

// Connected counts a connection that was made, or was not.
func (x *Meters) Connected(ok bool) {
	x.Connections.Add(context.Background(), 1, metric.WithAttributes(attribute.Bool("ok", ok)))
}
