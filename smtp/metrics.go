package smtp

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// metrics are what is counted and measured.
type metrics struct {
	open        metric.Int64UpDownCounter
	connections metric.Int64Counter
	replies     metric.Int64Counter
	refused     metric.Int64Counter
	size        metric.Int64Histogram
	duration    metric.Float64Histogram
	labels      replyLabels
	// success and refusal tell the durations of transactions apart.
	success, refusal []metric.RecordOption
}

func newMetrics(m metric.Meter) (*metrics, error) {
	var errs [6]error
	x := &metrics{
		labels:  replyLabels{made: map[replyKey][]metric.AddOption{}},
		success: accepted(true),
		refusal: accepted(false),
	}
	x.open, errs[0] = m.Int64UpDownCounter("quorumta_smtp_open_connections",
		metric.WithDescription("Connections that are open"))
	x.connections, errs[1] = m.Int64Counter("quorumta_smtp_connections",
		metric.WithDescription("Connections by listener and whether they were served, or why not"))
	x.replies, errs[2] = m.Int64Counter("quorumta_smtp_replies",
		metric.WithDescription("Replies by command and class"))
	x.refused, errs[3] = m.Int64Counter("quorumta_smtp_refused",
		metric.WithDescription("Senders, recipients and messages that were refused, by reason"))
	x.size, errs[4] = m.Int64Histogram("quorumta_smtp_message_size_bytes", metric.WithUnit("By"),
		metric.WithExplicitBucketBoundaries(1e3, 4e3, 1.6e4, 6.4e4, 2.5e5, 1e6, 4e6, 1.6e7, 6.4e7),
		metric.WithDescription("Content of accepted messages"))
	x.duration, errs[5] = m.Float64Histogram("quorumta_smtp_transaction_duration_seconds", metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 300),
		metric.WithDescription("Time from MAIL to the last reply, by whether the message was accepted"))
	return x, errors.Join(errs[:]...)
}

// connection counts a connection and why it was not served, if so.
func (x *metrics) connection(listener string, err error) {
	result := "served"
	switch err {
	case nil:
	case errDraining:
		result = "draining"
	case errConnections:
		result = "connections"
	case errPerClient:
		result = "per_client"
	case errPressed:
		result = "memory"
	default:
		result = "proxy"
	}
	x.connections.Add(context.Background(), 1, metric.WithAttributes(
		attribute.String("listener", listener), attribute.String("result", result)))
}

func (x *metrics) connected(n int64) { x.open.Add(context.Background(), n) }

// accepted are the attributes of transactions.
func accepted(yes bool) []metric.RecordOption {
	return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(attribute.Bool("accepted", yes)))}
}

// replyKey is what replies are counted by.
type replyKey struct {
	verb  string
	class int
}

// replyLabels remembers the attributes of replies: to make them anew for each
// would cost more than to count. There are as many as verbs and classes.
type replyLabels struct {
	mu   sync.RWMutex
	made map[replyKey][]metric.AddOption
}

func (l *replyLabels) of(k replyKey) []metric.AddOption {
	l.mu.RLock()
	options := l.made[k]
	l.mu.RUnlock()
	if options != nil {
		return options
	}
	const classes = "012345"
	class := "?"
	if k.class < len(classes) {
		class = classes[k.class:k.class+1] + "yz"
	}
	options = []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(
		attribute.String("command", k.verb), attribute.String("class", class)))}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made[k] = options
	return options
}

// reply implements wire.Options.Observe.
func (x *metrics) reply(verb string, code int) {
	x.replies.Add(context.Background(), 1, x.labels.of(replyKey{verb, code / 100})...)
}

func (x *metrics) refusedFor(ctx context.Context, reason string) {
	x.refused.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", reason)))
}

func (x *metrics) transaction(ctx context.Context, took time.Duration, accepted bool, size int64) {
	if !accepted {
		x.duration.Record(ctx, took.Seconds(), x.refusal...)
		return
	}
	x.duration.Record(ctx, took.Seconds(), x.success...)
	x.size.Record(ctx, size)
}
