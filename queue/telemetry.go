package queue

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"quorumta/queue/event"
	"quorumta/queue/office"
	"quorumta/queue/state"
)

// meters are the queue's instruments.
type meters struct {
	resolved metric.Int64Counter
	// outcomes say which event was resolved.
	outcomes map[event.Kind]metric.MeasurementOption
	offices  office.Counters
	clock    metric.Float64Gauge
	gauges   metric.Registration
}

// newMeters makes the instruments. An instrument that the exporter refuses
// counts nothing; mail goes on.
func newMeters(q *Queue) meters {
	m := q.o.Meter
	var errs []error
	counter := func(name, what string) metric.Int64Counter {
		c, err := m.Int64Counter("quorumta_queue_"+name, metric.WithDescription(what))
		errs = append(errs, err)
		return c
	}
	x := meters{
		resolved: counter("resolved", "Outcomes recorded by this node, by event."),
		outcomes: outcomeOptions(),
		offices: office.Counters{
			Claims:  counter("claims", "Attempts claimed by this node."),
			Doubted: counter("in_doubt", "Recipients recorded as in doubt while this node led."),
			Damaged: counter("damaged", "Messages found damaged on every replica that answered."),
		},
	}
	var err error
	x.clock, err = m.Float64Gauge("quorumta_queue_clock_offset", metric.WithUnit("s"),
		metric.WithDescription("How far the other members' clocks are ahead of this node's, by their median."))
	errs = append(errs, err)
	x.gauges, err = q.newGauges(m)
	if err = errors.Join(append(errs, err)...); err != nil {
		q.o.Log.Warn("some metrics of the queue are missing", "error", err)
	}
	return x
}

// newGauges registers what is looked up when metrics are collected: the state
// of the shards that this node leads, so that the sum over nodes is right.
func (q *Queue) newGauges(m metric.Meter) (metric.Registration, error) {
	messages, err1 := m.Int64ObservableGauge("quorumta_queue_messages",
		metric.WithDescription("Open messages of the shards led by this node, by state."))
	content, err2 := m.Int64ObservableGauge("quorumta_queue_content", metric.WithUnit("By"),
		metric.WithDescription("Content of the open messages of the shards led by this node."))
	oldest, err3 := m.Float64ObservableGauge("quorumta_queue_oldest_due_age", metric.WithUnit("s"),
		metric.WithDescription("How long the message that has been due for longest has been due."))
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	return m.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		now := q.now()
		var n state.Counts
		var due, waited = uint64(0), time.Duration(0)
		offices, _ := q.desk.all()
		for _, o := range offices {
			_ = q.view(o.Shard(), func(r state.Reader) {
				c := state.Count(r)
				n.Messages += c.Messages
				held, _ := state.HeldBack(r)
				n.Held += held
				n.InFlight += c.InFlight
				n.Content += c.Content
				due += q.queries.Due(o.Shard(), r, now)
				if rows := state.Due(r, state.DueRow{}, now, 1); len(rows) > 0 {
					waited = max(waited, now.Sub(rows[0].Due))
				}
			})
		}
		observe := func(name string, count uint64) {
			to.ObserveInt64(messages, int64(count), metric.WithAttributes(attribute.String("state", name)))
		}
		observe("held", n.Held)
		observe("in_flight", n.InFlight)
		observe("due", due)
		observe("deferred", n.Messages-min(n.Messages, n.Held+n.InFlight+due))
		to.ObserveInt64(content, int64(n.Content))
		to.ObserveFloat64(oldest, waited.Seconds())
		return nil
	}, messages, content, oldest)
}

func (x *meters) close() {
	if x.gauges != nil {
		_ = x.gauges.Unregister() // it fails only for a meter that is gone
	}
}

// outcomeOptions are the attributes of what is resolved.
func outcomeOptions() map[event.Kind]metric.MeasurementOption {
	options := map[event.Kind]metric.MeasurementOption{}
	for kind, name := range map[event.Kind]string{
		event.KindDelivered: "delivered", event.KindDeferred: "deferred", event.KindFailed: "failed",
		event.KindReturned: "returned", event.KindDoubted: "doubted", event.KindExpired: "expired",
		event.KindWarned: "warned", event.KindAccepted: "accepted",
	} {
		options[kind] = metric.WithAttributeSet(attribute.NewSet(attribute.String("event", name)))
	}
	return options
}

// count counts an outcome.
func (x *meters) count(ev event.Event) {
	if o, ok := x.outcomes[ev.Kind()]; ok {
		x.resolved.Add(context.Background(), 1, o)
	}
}
