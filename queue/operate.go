package queue

import (
	"context"
	"fmt"
	"slices"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/clock"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/query"
	"quorumta/queue/state"
)

// Selection chooses open messages. Zero fields do not narrow it.
type Selection = query.Selection

// Page is one page of a list.
type Page = query.Page

// Totals are the counts over all shards.
type Totals = query.Totals

// State is the state of an open message at the time now: "held", "in_flight"
// (an attempt is under way), "due" or "deferred".
func State(m *state.Message, now time.Time) string { return query.State(m, now) }

// List lists the chosen messages in order of id, after the cursor.
func (q *Queue) List(ctx context.Context, s Selection, cursor string, limit int) (Page, error) {
	return q.queries.List(ctx, s, cursor, limit)
}

// Count counts the open messages of all shards.
func (q *Queue) Count(ctx context.Context) (Totals, error) { return q.queries.Count(ctx) }

// Show reads a message and its history; the message is nil once it has ended.
// It fails with ErrNotFound.
func (q *Queue) Show(ctx context.Context, id mail.MessageID) (*state.Message, []state.Record, error) {
	if err := q.exists(id); err != nil {
		return nil, nil, err
	}
	m, history, err := q.queries.Show(ctx, id)
	if err == nil && m == nil && len(history) == 0 {
		err = fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return m, history, err
}

// exists fails with ErrNotFound for an id of a shard that there is not, or not
// any more.
func (q *Queue) exists(id mail.MessageID) error {
	if !slices.Contains(q.node.Shards(), id.Shard()) {
		return fmt.Errorf("%w: %s: the cluster has no shard %d", ErrNotFound, id, id.Shard())
	}
	return nil
}

// Events calls f for the history of all messages, or of one: by shard, first
// those that have ended, by day, then the open ones, each sort by id. With
// follow, it goes on with what is folded from then on, in log order per shard,
// until ctx ends (nil) or f returns false. A reader that is too slow to follow
// gets an error that says so.
func (q *Queue) Events(ctx context.Context, id mail.MessageID, follow bool, f func(state.Record) bool) error {
	return q.queries.Events(ctx, id, follow, f)
}

// Act is what an operator does to a message.
type Act string

// The acts.
const (
	ActHold    Act = "hold"
	ActRelease Act = "release"
	ActRetry   Act = "retry"
	ActRemove  Act = "remove"
	// ActResume lets a message go on that waits because it was restored.
	ActResume Act = "resume"
)

const (
	// actTime bounds how long an act is tried for.
	actTime = 30 * time.Second
	// actPage is how many messages OperateAll takes at a time.
	actPage = lane.MostGroups
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
	case ActResume:
		return []event.Event{&event.Resumed{By: by}}, nil
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
	if err := q.exists(id); err != nil {
		return err
	}
	return q.operate(ctx, event.Group{ID: id, Events: events})
}

// Reroute has a message go to hosts instead of where the routers send it, on
// record; without hosts the routers have their say again. It fails as Operate
// does.
func (q *Queue) Reroute(ctx context.Context, id mail.MessageID, hosts []string, by, why string) error {
	if err := q.exists(id); err != nil {
		return err
	}
	return q.operate(ctx, event.Group{ID: id, Events: rerouted(hosts, by, why)})
}

// RerouteAll does so with the chosen messages and returns with how many.
func (q *Queue) RerouteAll(ctx context.Context, s Selection, hosts []string, by, why string) (int, error) {
	return q.operateAll(ctx, s, rerouted(hosts, by, why))
}

func rerouted(hosts []string, by, why string) []event.Event {
	return []event.Event{&event.Rerouted{By: by, Hosts: hosts, Why: why}}
}

func (q *Queue) operate(ctx context.Context, g event.Group) error {
	if err := q.mayPropose(g); err != nil {
		return err
	}
	shard := g.ID.Shard()
	result, unknown, err := q.persist(ctx, shard, func(ctx context.Context) lane.Verdict { return q.propose(ctx, shard, g) })
	switch {
	case err != nil:
		return err
	case result.OK(), result == state.Stale, result == state.Unknown && unknown:
		return nil
	case result == state.Unknown:
		return fmt.Errorf("%w open: %s", ErrNotFound, g.ID)
	}
	return fmt.Errorf("the shard refuses this for %s: result %d", g.ID, result)
}

// persist proposes until there is a definite result. unknown: an earlier try
// may have been committed.
func (q *Queue) persist(ctx context.Context, shard uint16, propose func(context.Context) lane.Verdict) (result state.Result, unknown bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, actTime)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		v := propose(ctx)
		if v.Definite() {
			return v.Result, unknown, nil
		}
		unknown = unknown || !v.NotProposed()
		if !clock.Pause(ctx, wait) {
			return 0, unknown, fmt.Errorf("%w: shard %d does not answer: %w", ErrUnavailable, shard, v.Error())
		}
	}
}

// OperateAll does the act to the chosen messages and returns to how many.
func (q *Queue) OperateAll(ctx context.Context, act Act, s Selection, by, why string) (int, error) {
	events, err := act.events(by, why)
	if err != nil {
		return 0, err
	}
	return q.operateAll(ctx, s, events)
}

func (q *Queue) operateAll(ctx context.Context, s Selection, events []event.Event) (int, error) {
	if err := q.mayPropose(event.Group{Events: events}); err != nil {
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
		if !v.Definite() {
			if err := q.operate(ctx, groups[i]); err != nil {
				return done, err
			}
			done++
		} else if v.Result.OK() {
			done++
		}
	}
	return done, nil
}
