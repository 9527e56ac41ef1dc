package queue

import (
	"context"
	"fmt"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// Act is what an operator does to a message.
type Act string

// The acts.
const (
	ActHold    Act = "hold"
	ActRelease Act = "release"
	ActRetry   Act = "retry"
	ActRemove  Act = "remove"
)

const (
	// actTime bounds how long an act is tried for.
	actTime = 30 * time.Second
	// actPage is how many messages OperateAll takes at a time.
	actPage = mostGroups
)

// events are what the act puts on record.
func (a Act) events(by, why string) ([]event.Event, error) {
	switch a {
	case ActHold:
		return []event.Event{&event.Held{By: by, Why: why}}, nil
	case ActRelease:
		return []event.Event{&event.Released{By: by}}, nil
	case ActRetry:
		return []event.Event{&event.Retried{By: by}}, nil
	case ActRemove:
		return []event.Event{&event.Removed{By: by, Why: why}}, nil
	}
	return nil, fmt.Errorf("no such act: %q", a)
}

// Operate does the act to a message, on record: by whom, and why. It is nil as
// well where there is nothing to do: a message that is held is held again. It
// fails with ErrNotFound for a message that is not open, and with
// ErrUnavailable if the shard does not answer.
func (q *Queue) Operate(ctx context.Context, act Act, id mail.MessageID, by, why string) error {
	events, err := act.events(by, why)
	if err != nil {
		return err
	}
	return q.operate(ctx, event.Group{ID: id, Events: events})
}

func (q *Queue) operate(ctx context.Context, g event.Group) error {
	ctx, cancel := context.WithTimeout(ctx, actTime)
	defer cancel()
	unknown := false // an earlier try may have done it
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		v := q.propose(ctx, g.ID.Shard(), g)
		switch {
		case v.definite() && (v.result.OK() || v.result == state.Stale):
			return nil
		case v.definite() && v.result == state.Unknown && unknown:
			return nil
		case v.definite() && v.result == state.Unknown:
			return fmt.Errorf("%w open: %s", ErrNotFound, g.ID)
		case v.definite():
			return fmt.Errorf("the shard refuses this for %s: result %d", g.ID, v.result)
		}
		unknown = unknown || !v.notProposed()
		if !pause(ctx, wait) {
			return fmt.Errorf("%w: shard %d does not answer: %w", ErrUnavailable, g.ID.Shard(), orNil(v.err))
		}
	}
}

// OperateAll does the act to the chosen messages and returns to how many.
func (q *Queue) OperateAll(ctx context.Context, act Act, s Selection, by, why string) (int, error) {
	events, err := act.events(by, why)
	if err != nil {
		return 0, err
	}
	done, cursor := 0, ""
	for {
		page, err := q.List(ctx, s, cursor, actPage)
		if err != nil {
			return done, err
		}
		byShard := map[uint16][]event.Group{}
		for _, m := range page.Messages {
			id := m.Accepted.ID
			byShard[id.Shard()] = append(byShard[id.Shard()], event.Group{ID: id, Events: events})
		}
		for shard, groups := range byShard {
			n, err := q.operatePage(ctx, shard, groups)
			done += n
			if err != nil {
				return done, err
			}
		}
		if cursor = page.Cursor; cursor == "" {
			return done, nil
		}
	}
}

// operatePage does an act to messages of one shard at once, and one by one to
// those whose outcome is not known.
func (q *Queue) operatePage(ctx context.Context, shard uint16, groups []event.Group) (int, error) {
	done := 0
	for i, v := range q.proposeAll(ctx, shard, groups) {
		if !v.definite() {
			if err := q.operate(ctx, groups[i]); err != nil {
				return done, err
			}
			done++
		} else if v.result.OK() {
			done++
		}
	}
	return done, nil
}
