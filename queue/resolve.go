package queue

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/attempt"
	"quorumta/queue/clock"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// clockWait is how long a recipient waits whose time was up by a clock that
// cannot be trusted.
const clockWait = 10 * time.Minute

// Outcome is what became of an attempt, or of recipients that were not tried.
type Outcome struct {
	ID mail.MessageID
	// Events are Delivered, Deferred, Failed, Returned, Doubted, Expired,
	// Warned, or an Expanded alone: facts about one message that belong
	// together. A Returned or Doubted without a due time is due at once.
	Events []event.Event
	// Report is the DSN that they cause; nil if none. Its ID, Submitter, Size,
	// Digest, Due and Cause are filled in by the queue; Content is at most
	// event.MaxPart.
	Report *event.Accepted
}

// Resolve records outcomes. It belongs to no office: what a deposed leader
// learnt it still reports, to whoever leads the shard now. It tries until it
// is recorded, found refused (nil as well: somebody else closed it), or ctx
// ends. ErrTooNew: not all members know such events yet.
func (q *Queue) Resolve(ctx context.Context, outcome Outcome) error {
	g, err := q.outcome(outcome)
	if err != nil {
		return err
	}
	if len(g.Events) == 0 {
		return nil
	}
	if err := q.mayPropose(g); err != nil {
		return fmt.Errorf("record the outcome of %s: %w", g.ID, err)
	}
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		v := q.propose(ctx, g.ID.Shard(), g)
		switch {
		case v.Definite() && v.Result == state.Conflict && outcome.Report != nil:
			g.Events[len(g.Events)-1] = q.report(outcome) // another id
			continue
		case v.Definite() && v.Result == state.Malformed:
			q.lose(g)
			return fmt.Errorf("record the outcome of %s: the events contradict the message", g.ID)
		case v.Definite():
			q.resolved(g)
			return nil
		case v.NotProposed() && q.exists(g.ID) != nil:
			// A shard goes when it holds nothing: somebody else closed it.
			q.resolved(g)
			return nil
		}
		if !clock.Pause(ctx, wait) {
			q.lose(g)
			return fmt.Errorf("record the outcome of %s: %w (last try: %v, result %d)", g.ID, ctx.Err(), v.Err, v.Result)
		}
	}
}

// outcome is the group of an outcome.
func (q *Queue) outcome(outcome Outcome) (event.Group, error) {
	if !q.ClockTrusted() {
		outcome = q.untimed(outcome)
	}
	g := event.Group{ID: outcome.ID}
	for _, ev := range outcome.Events {
		if d, ok := ev.(*event.Doubted); ok && q.o.HoldDoubts && !d.Hold {
			held := *d
			held.Hold = true
			ev = &held
		}
		g.Events = append(g.Events, ev)
	}
	if outcome.Report != nil {
		if len(outcome.Report.Content) > event.MaxPart {
			return g, fmt.Errorf("record the outcome of %s: its report has %d bytes, at most %d are allowed",
				outcome.ID, len(outcome.Report.Content), event.MaxPart)
		}
		g.Events = append(g.Events, q.report(outcome))
	}
	return g, nil
}

// report completes the report of an outcome, with an id on the same shard.
func (q *Queue) report(outcome Outcome) *event.Accepted {
	a := *outcome.Report
	a.ID = q.draw(outcome.ID.Shard())
	a.Submitter = q.submitter()
	a.Size = int64(len(a.Content))
	a.Digest = sha256.Sum256(a.Content)
	a.Cause = outcome.ID
	a.Due = time.Time{}
	return &a
}

// untimed is the outcome without what a clock has decided that cannot be
// trusted (PROTOCOL 20): recipients whose time is up wait, nobody is warned. So
// do those who failed beside them and stand in the same report: nobody fails
// without the report that is owed.
func (q *Queue) untimed(outcome Outcome) Outcome {
	timed := slices.ContainsFunc(outcome.Events, func(ev event.Event) bool {
		switch ev.(type) {
		case *event.Expired, *event.Warned:
			return true
		}
		return false
	})
	if !timed {
		return outcome
	}
	wait := func(recipients []uint32, a event.Attempt, kind event.ErrorKind) event.Event {
		return &event.Deferred{Recipients: recipients, Attempt: a, Error: kind, Due: q.now().Add(clockWait)}
	}
	var events []event.Event
	for _, ev := range outcome.Events {
		switch ev := ev.(type) {
		case *event.Expired:
			events = append(events, wait(ev.Recipients, ev.Attempt, ev.Error))
		case *event.Failed:
			if outcome.Report == nil {
				events = append(events, ev) // none is owed
				continue
			}
			events = append(events, wait(ev.Recipients, ev.Attempt, ev.Error))
		case *event.Warned:
		default:
			events = append(events, ev)
		}
	}
	outcome.Events, outcome.Report = events, nil
	return outcome
}

// resolved takes the outcome out of this process's attempts.
func (q *Queue) resolved(g event.Group) {
	for _, ev := range g.Events {
		number, recipients := subject(ev)
		if number > 0 {
			q.attempts.End(attempt.Key{ID: g.ID, Number: number}, recipients)
		}
		q.meters.count(ev)
	}
}

// lose notes that nobody will report these outcomes any more.
func (q *Queue) lose(g event.Group) {
	for _, ev := range g.Events {
		if number, _ := subject(ev); number > 0 {
			q.attempts.Lose(attempt.Key{ID: g.ID, Number: number})
		}
	}
}

// subject is the attempt and the recipients that an outcome is about; 0 if it
// is about none.
func subject(ev event.Event) (uint32, []uint32) {
	switch ev := ev.(type) {
	case *event.Delivered:
		return ev.Attempt.Number, ev.Recipients
	case *event.Deferred:
		return ev.Attempt.Number, ev.Recipients
	case *event.Failed:
		return ev.Attempt.Number, ev.Recipients
	case *event.Expired:
		return ev.Attempt.Number, ev.Recipients
	case *event.Returned:
		return ev.Number, ev.Recipients
	case *event.Doubted:
		return ev.Number, ev.Recipients
	}
	return 0, nil
}
