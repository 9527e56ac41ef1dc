package queue

import (
	"context"
	"fmt"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/clock"
	"quorumta/queue/edit"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// Wish is what an operator wants of a message's recipients, and Replacement one
// in the place of another.
type (
	Wish        = edit.Wish
	Replacement = edit.Replacement
)

// ErrRefused: the message is not such that a Wish can be done. The text says why.
var ErrRefused = edit.ErrRefused

// Edit changes who gets a message, on record: by whom, and why. It fails with
// ErrRefused where the message is not such that this can be done, with
// ErrNotFound for one that is not open, and with ErrUnavailable if the shard does
// not answer.
func (q *Queue) Edit(ctx context.Context, id mail.MessageID, w Wish, by, why string) error {
	if err := q.mayPropose(event.Group{ID: id, Events: []event.Event{&event.Edited{}}}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, actTime)
	defer cancel()
	since := 0 // unless an earlier try may have been committed
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		m, _, err := q.Show(ctx, id)
		switch {
		case err != nil:
			return err
		case m == nil && since > 0:
			return nil
		case m == nil:
			return fmt.Errorf("%w open: %s", ErrNotFound, id)
		}
		fact, err := edit.Plan(m, &w, since)
		if err != nil || fact == nil {
			return err
		}
		fact.By, fact.Why = by, why
		v := q.propose(ctx, id.Shard(), event.Group{ID: id, Events: []event.Event{fact}})
		switch {
		case v.Definite() && v.Result.OK():
			return nil
		case v.Definite() && v.Result != state.Stale && v.Result != state.Unknown:
			return fmt.Errorf("the shard refuses this for %s: result %d", id, v.Result)
		case !v.Definite() && !v.NotProposed() && since == 0:
			since = len(m.Recipients)
		}
		// Somebody else has changed them, or nobody knows: look again.
		if !clock.Pause(ctx, wait) {
			return fmt.Errorf("%w: shard %d does not answer: %w", ErrUnavailable, id.Shard(), v.Error())
		}
	}
}
