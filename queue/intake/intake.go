package intake

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/spool"
)

// Refusal is why a message is not taken. All of them are the sender's 4yz.
type Refusal string

// Error implements error.
func (r Refusal) Error() string { return string(r) }

// The refusals.
const (
	// ErrUnavailable: no shard takes mail; nothing was proposed (451 4.3.0).
	ErrUnavailable Refusal = "no shard takes mail now"
	// ErrDiskFull: no shard takes mail for want of disk (452 4.3.1).
	ErrDiskFull Refusal = "no shard has disk space for mail"
	// ErrUnsettled: the message may or may not have been committed, or was
	// abandoned on record (451 4.3.0).
	ErrUnsettled Refusal = "the message's fate is not known"
)

// Options says how messages are taken in; every field is needed. The
// functions are called from many goroutines.
type Options struct {
	// Place chooses a shard that takes mail, if it can one that is not to be
	// avoided; ErrUnavailable or ErrDiskFull if there is none.
	Place func(avoid map[uint16]bool) (uint16, error)
	// Propose has a group decided by the shard's leader; it tries once.
	Propose func(context.Context, uint16, event.Group) lane.Verdict
	// Draw draws an id on the shard, Submitter numbers a submission.
	Draw      func(shard uint16) mail.MessageID
	Submitter func() event.Submitter
	// Spawn runs what outlives an upload; false if nothing may any more.
	Spawn func(func()) bool
	// Unsettled is told of a message that ErrUnsettled is returned for while
	// nobody knows what becomes of it. It does not wait.
	Unsettled func(*event.Accepted)

	SubmitWait    time.Duration
	UploadTimeout time.Duration
	// SpoolDir is where large messages are kept meanwhile; "": the system's.
	SpoolDir string
	Log      *slog.Logger
	Tracer   trace.Tracer
	Meter    metric.Meter
}

// Intake takes messages in.
type Intake struct {
	o      Options
	meters meters
	rooms  rooms
	spool  *spool.Room
}

// New makes an intake.
func New(o Options) *Intake {
	return &Intake{o: o, meters: newMeters(o), spool: spool.NewRoom(o.SpoolDir)}
}

// meters are the intake's instruments.
type meters struct {
	accepted, moved, unsettled metric.Int64Counter
	duration                   metric.Float64Histogram
}

// newMeters makes the instruments. One that the exporter refuses counts
// nothing; mail goes on.
func newMeters(o Options) meters {
	var x meters
	var errs [4]error
	x.accepted, errs[0] = o.Meter.Int64Counter("quorumta_queue_accepted",
		metric.WithDescription("Messages accepted by this node's sessions."))
	x.moved, errs[1] = o.Meter.Int64Counter("quorumta_queue_moved",
		metric.WithDescription("Messages that turned to another shard on their way in."))
	x.unsettled, errs[2] = o.Meter.Int64Counter("quorumta_queue_unsettled",
		metric.WithDescription("Messages whose client was told 451 though they may have been committed."))
	x.duration, errs[3] = o.Meter.Float64Histogram("quorumta_queue_submit_duration", metric.WithUnit("s"),
		metric.WithDescription("From the beginning of a message to its verdict."))
	if err := errors.Join(errs[:]...); err != nil {
		o.Log.Warn("some metrics of the intake are missing", "error", err)
	}
	return x
}

// submitted counts the verdict on an upload.
func (x *meters) submitted(ctx context.Context, took time.Duration, err error) {
	verdict := "failed"
	switch {
	case err == nil:
		verdict = "accepted"
	case errors.Is(err, context.Canceled):
		verdict = "aborted"
	case errors.Is(err, ErrUnsettled):
		verdict = "unsettled"
	case errors.Is(err, ErrDiskFull):
		verdict = "disk_full"
	case errors.Is(err, ErrUnavailable):
		verdict = "unavailable"
	}
	x.duration.Record(ctx, took.Seconds(), metric.WithAttributes(attribute.String("verdict", verdict)))
}
