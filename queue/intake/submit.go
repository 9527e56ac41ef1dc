package intake

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"quorumta/internal/mail"
	"quorumta/queue/clock"
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
	// Release is when it is first tried; zero: at once.
	Release time.Time
}

// admit has the message accepted by its shard. It fails with errElsewhere if
// it certainly is not and another shard may take it, and with ErrUnsettled. An
// unknown outcome is asked after on the same shard: a repeated Accepted is
// known by its submitter and digest (PROTOCOL 19).
func (n *Intake) admit(ctx context.Context, a *event.Accepted) error {
	ctx, span := n.o.Tracer.Start(ctx, "raft.commit")
	defer span.End()
	span.SetAttributes(attribute.String("message.id", string(a.ID)), attribute.Int("shard", int(a.ID.Shard())))
	waiting, cancel := context.WithTimeout(ctx, n.o.SubmitWait)
	defer cancel()
	unknown := false
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		v := n.o.Propose(waiting, a.ID.Shard(), event.Group{ID: a.ID, Events: []event.Event{a}})
		switch {
		case v.Definite():
			return n.admitted(ctx, a, v.Result, unknown)
		case !unknown && (v.Err == nil || v.NotProposed()):
			return fmt.Errorf("%w: %w", errElsewhere, v.Error())
		}
		unknown = true
		if !clock.Pause(waiting, wait) {
			return n.abandon(ctx, a)
		}
	}
}

// admitted takes a definite result on an Accepted. A message that was proposed
// before with an unknown outcome is not taken to another shard until it is
// certain that none of its proposals comes late.
func (n *Intake) admitted(ctx context.Context, a *event.Accepted, r state.Result, unknown bool) error {
	switch r {
	case state.Applied, state.Duplicate:
		return nil
	case state.Abandoned:
		return ErrUnsettled
	case state.Conflict, state.Missing:
		if unknown && r == state.Missing {
			return n.abandon(ctx, a)
		}
		return fmt.Errorf("%w: result %d", errElsewhere, r)
	}
	n.o.Log.Error("the queue refuses what was submitted; this is a defect of the program",
		"id", a.ID, "result", uint8(r))
	return fmt.Errorf("%w: result %d", ErrUnavailable, r)
}

// abandon makes it true that the message was not taken, or finds that it was:
// whichever of Accepted and Abandoned commits first wins.
func (n *Intake) abandon(ctx context.Context, a *event.Accepted) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(abandonTime, n.o.SubmitWait))
	defer cancel()
	abandoned := &event.Abandoned{Submitter: a.Submitter}
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		v := n.o.Propose(ctx, a.ID.Shard(), event.Group{ID: a.ID, Events: []event.Event{abandoned}})
		if v.Definite() && v.Result.OK() {
			n.o.Log.Warn("abandoned", "id", a.ID, "from", a.Envelope.From.String(), "client", a.Client.IP)
			return fmt.Errorf("%w: it was abandoned on record", ErrUnsettled)
		}
		if v.Definite() { // refused: Accepted came first
			v = n.o.Propose(ctx, a.ID.Shard(), event.Group{ID: a.ID, Events: []event.Event{a}})
			if v.Definite() && v.Result.OK() {
				return nil
			}
		}
		if !clock.Pause(ctx, wait) {
			n.meters.unsettled.Add(ctx, 1)
			n.o.Log.Error("unsettled", "id", a.ID, "from", a.Envelope.From.String(), "client", a.Client.IP, "error", v.Err)
			n.o.Unsettled(a)
			return ErrUnsettled
		}
	}
}
