package queue

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// What the queue fails with. All of them are the sender's 4yz.
var (
	// ErrUnavailable: no shard takes mail; nothing was proposed (451 4.3.0).
	ErrUnavailable = errors.New("no shard takes mail now")
	// ErrDiskFull: no shard takes mail for want of disk (452 4.3.1).
	ErrDiskFull = errors.New("no shard has disk space for mail")
	// ErrUnsettled: the message may or may not have been committed, or was
	// abandoned on record (451 4.3.0).
	ErrUnsettled = errors.New("the message's fate is not known")
	// ErrNotFound: no such message, open or remembered.
	ErrNotFound = errors.New("no such message")
	// ErrStale: the attempt is not the current one or the recipient is closed;
	// no final dot may be sent.
	ErrStale = errors.New("the attempt is stale")
	// ErrNotInOffice: this node does not lead the shard in that term any more;
	// no final dot may be sent.
	ErrNotInOffice = errors.New("not in office")
	// ErrDamaged: the stored content does not match its digest.
	ErrDamaged = errors.New("stored content is damaged")
)

// Options says how a queue works.
type Options struct {
	// SubmitWait is how long an unknown outcome is asked after; 0 means 30 s.
	SubmitWait time.Duration
	// History is how long ended messages are remembered.
	History time.Duration
	// UploadTimeout is after what time an unfinished upload is swept; 0 means
	// one hour.
	UploadTimeout time.Duration
	// HoldDoubts holds recipients in doubt instead of trying them again.
	HoldDoubts bool
	// Filter compiles the expression of a Selection; nil: none is allowed.
	Filter func(expr string) (func(*state.Message) (bool, error), error)
	// Now is the wall clock; nil means time.Now.
	Now    func() time.Time
	Log    *slog.Logger
	Tracer trace.Tracer
	Meter  metric.Meter
}

// Queue is the queue of a cluster, seen from one node.
type Queue struct {
	node *cluster.Node
	o    Options
}

// New makes the queue of a node that has not been run yet: it hosts the node's
// machines and handles its calls.
func New(node *cluster.Node, o Options) *Queue { panic("queue: New is not built") }

// Run does the queue's own chores (settling claims on taking office, sweeping,
// pruning) until ctx ends; when it returns nothing of it is running.
func (q *Queue) Run(ctx context.Context) error { panic("queue: Run is not built") }

// Submission is what smtp knows of a message beside its content.
type Submission struct {
	Envelope mail.Envelope
	Client   event.Client
	HeaderID string
	Subject  string
	Trace    event.Trace
	Rules    []string
	// Cause is the message that a report is about; "" for all others.
	Cause mail.MessageID
}

// Ready says whether a message could be taken now: nil, ErrUnavailable or
// ErrDiskFull. It asks nobody and takes no time.
func (q *Queue) Ready() error { panic("queue: Ready is not built") }

// Upload is a message on its way in. It is used by one goroutine.
type Upload struct{}

// Begin starts a message. prefix makes the header that goes before what is
// written, from the message's id; it is called again if the message has to
// turn to another shard, where it gets another id.
func (q *Queue) Begin(ctx context.Context, prefix func(mail.MessageID) []byte) (*Upload, error) {
	panic("queue: Begin is not built")
}

// Write appends content. Small messages stay in memory until Commit; of larger
// ones a part at a time is proposed, and Write waits while too many are under
// way. It fails as Commit does.
func (u *Upload) Write(p []byte) (int, error) { panic("queue: Write is not built") }

// Commit makes the message; when it returns nil a majority has it on stable
// storage, and the id is final. ErrUnavailable, ErrDiskFull: nothing was
// taken. ErrUnsettled: see there. The upload is over in any case.
func (u *Upload) Commit(s Submission) (mail.MessageID, error) { panic("queue: Commit is not built") }

// Abort gives the message up.
func (u *Upload) Abort() { panic("queue: Abort is not built") }
