package queue

import (
	"context"
	"io"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// Office is this node's leadership of one shard in one term: the right to
// claim and deliver its mail.
type Office struct{}

// Offices hands f every office that this node takes, in a goroutine of its
// own; the context ends with the office, and f must return soon after. Offices
// returns when ctx has ended and every f has returned.
func (q *Queue) Offices(ctx context.Context, f func(context.Context, *Office)) error {
	panic("queue: Offices is not built")
}

// Shard is the shard led.
func (o *Office) Shard() uint16 { panic("queue: Shard is not built") }

// Term is the office's term.
func (o *Office) Term() uint64 { panic("queue: Term is not built") }

// Changed returns a channel that is closed when rows may have appeared in the
// due index since the call: at once due or earlier than what was there.
func (o *Office) Changed() <-chan struct{} { panic("queue: Changed is not built") }

// Due is state.Due on the office's shard, without what is claimed or being
// claimed.
func (o *Office) Due(after state.DueRow, until time.Time, limit int) []state.DueRow {
	panic("queue: Due is not built")
}

// Message reads an open message of the shard.
func (o *Office) Message(id mail.MessageID) (*state.Message, bool) {
	panic("queue: Message is not built")
}

// Content reads the content of an open message, its digest verified before
// the first byte is returned if it is one piece, and before io.EOF otherwise:
// a reader that fails with ErrDamaged must not be followed by a final dot.
func (o *Office) Content(id mail.MessageID) (io.ReadCloser, int64, error) {
	panic("queue: Content is not built")
}

// Claim is the right to one attempt.
type Claim struct {
	ID         mail.MessageID
	Number     uint32
	Recipients []uint32
}

// Claim has the recipients of a message claimed; when it returns nil the
// Claimed is committed and applied. Claims of many goroutines share entries.
// ErrStale: a recipient is not pending any more, or the message is held.
func (o *Office) Claim(ctx context.Context, id mail.MessageID, recipients []uint32) (Claim, error) {
	panic("queue: Claim is not built")
}

// MaySend is the last look before a final dot: the office's lease runs, the
// claim is the current one and its recipients are open. From then on a node
// that asks is told that the dot may have been sent. Nil, ErrStale or
// ErrNotInOffice.
func (o *Office) MaySend(c Claim) error { panic("queue: MaySend is not built") }

// Outcome is what became of an attempt, or of recipients that were not tried.
type Outcome struct {
	ID mail.MessageID
	// Events are Delivered, Deferred, Failed, Returned, Expired, Warned: facts
	// about one message that belong together.
	Events []event.Event
	// Report is the DSN that they cause; nil if none. Its ID, Submitter, Size,
	// Digest and Due are filled in by the queue; Content is at most
	// event.MaxPart.
	Report *event.Accepted
}

// Resolve records outcomes. It belongs to no office: what a deposed leader
// learnt it still reports, to whoever leads the shard now. It tries until it
// is recorded, found refused (nil as well: somebody else closed it), or ctx
// ends.
func (q *Queue) Resolve(ctx context.Context, outcome Outcome) error {
	panic("queue: Resolve is not built")
}
