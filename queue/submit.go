package queue

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// abandonTime is how long a submitter tries to have its own message abandoned
// before it calls it unsettled.
const abandonTime = 3 * time.Second

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

// admit has the message accepted by its shard. It fails with errElsewhere if
// it certainly is not and another shard may take it, and with ErrUnsettled. An
// unknown outcome is asked after on the same shard: a repeated Accepted is
// known by its submitter and digest (PROTOCOL 19).
func (q *Queue) admit(ctx context.Context, a *event.Accepted) error {
	ctx, span := q.o.Tracer.Start(ctx, "raft.commit")
	defer span.End()
	span.SetAttributes(attribute.String("message.id", string(a.ID)), attribute.Int("shard", int(a.ID.Shard())))
	waiting, cancel := context.WithTimeout(ctx, q.o.SubmitWait)
	defer cancel()
	unknown := false
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		v := q.propose(waiting, a.ID.Shard(), event.Group{ID: a.ID, Events: []event.Event{a}})
		switch {
		case v.definite():
			return q.admitted(ctx, a, v.result, unknown)
		case !unknown && (v.err == nil || v.notProposed()):
			return fmt.Errorf("%w: %w", errElsewhere, orNil(v.err))
		}
		unknown = true
		if !pause(waiting, wait) {
			return q.abandon(ctx, a)
		}
	}
}

// admitted takes a definite result on an Accepted. A message that was proposed
// before with an unknown outcome is not taken to another shard until it is
// certain that none of its proposals comes late.
func (q *Queue) admitted(ctx context.Context, a *event.Accepted, r state.Result, unknown bool) error {
	switch r {
	case state.Applied, state.Duplicate:
		return nil
	case state.Abandoned:
		return ErrUnsettled
	case state.Conflict, state.Missing:
		if unknown && r == state.Missing {
			return q.abandon(ctx, a)
		}
		return fmt.Errorf("%w: result %d", errElsewhere, r)
	}
	q.o.Log.Error("the queue refuses what was submitted; this is a defect of the program",
		"id", a.ID, "result", uint8(r))
	return fmt.Errorf("%w: result %d", ErrUnavailable, r)
}

// abandon makes it true that the message was not taken, or finds that it was:
// whichever of Accepted and Abandoned commits first wins.
func (q *Queue) abandon(ctx context.Context, a *event.Accepted) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	abandoned := &event.Abandoned{Submitter: a.Submitter}
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		v := q.propose(ctx, a.ID.Shard(), event.Group{ID: a.ID, Events: []event.Event{abandoned}})
		if v.definite() && v.result.OK() {
			q.o.Log.Warn("abandoned", "id", a.ID, "from", a.Envelope.From.String(), "client", a.Client.IP)
			return fmt.Errorf("%w: it was abandoned on record", ErrUnsettled)
		}
		if v.definite() { // refused: Accepted came first
			v = q.propose(ctx, a.ID.Shard(), event.Group{ID: a.ID, Events: []event.Event{a}})
			if v.definite() && v.result.OK() {
				return nil
			}
		}
		if !pause(ctx, wait) {
			q.meters.unsettled.Add(ctx, 1)
			q.o.Log.Error("unsettled", "id", a.ID, "from", a.Envelope.From.String(), "client", a.Client.IP, "error", v.err)
			return ErrUnsettled
		}
	}
}
