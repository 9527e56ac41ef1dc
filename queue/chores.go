package queue

import (
	"context"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/call"
	"quorumta/queue/clock"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/state"
)

const (
	callClock = "queue.clock"
	// mostSwept bounds the uploads that one event sweeps.
	mostSwept = 500
	day       = 24 * time.Hour
)

// sweep forgets what is too old, until the office ends: unfinished uploads,
// and the history of whole days. Time decides both, so a node whose clock
// cannot be trusted does neither.
func (o *Office) sweep(ctx context.Context) {
	q := o.shard.q
	every := min(q.o.UploadTimeout/4, time.Minute)
	for {
		if q.ClockTrusted() && o.inOffice() {
			for _, ev := range o.outdated(q.now()) {
				o.facts.Add(event.Group{Events: []event.Event{ev}}, func(lane.Verdict) {})
			}
		}
		if !clock.Pause(ctx, every) {
			return
		}
	}
}

// outdated are the events that forget what is too old at the time now.
func (o *Office) outdated(now time.Time) []event.Event {
	q := o.shard.q
	var events []event.Event
	o.view(func(r state.Reader) {
		var ids []mail.MessageID
		state.Uploads(r, func(u state.Upload) bool {
			if now.Sub(u.Renewed) > q.o.UploadTimeout {
				ids = append(ids, u.ID)
			}
			return len(ids) < mostSwept
		})
		// Each alone: one that has ended meanwhile would save the others.
		for _, id := range ids {
			events = append(events, &event.Swept{IDs: []mail.MessageID{id}})
		}
		for _, d := range state.Days(r) {
			end := time.Unix(0, 0).Add(time.Duration(d+1) * day)
			if now.Sub(end) > q.o.History {
				events = append(events, &event.Pruned{Day: d})
			}
		}
	})
	return events
}

// reading is a node's wall clock, in milliseconds since 1970.
type reading struct {
	Milliseconds int64 `json:"ms"`
}

func (q *Queue) serveClock(context.Context, struct{}) (reading, error) {
	return reading{q.o.Now().UnixMilli()}, nil
}

// newWatch makes the watch over this node's clock (PROTOCOL 20).
func (q *Queue) newWatch() *clock.Watch {
	return clock.NewWatch(clock.Options{
		Now:    q.o.Now,
		Others: q.others,
		Ask: func(ctx context.Context, node string) (time.Time, error) {
			there, err := call.Ask[struct{}, reading](ctx, q.way.Call, node, callClock, struct{}{})
			return time.UnixMilli(there.Milliseconds), err
		},
		Observe: func(offset time.Duration) { q.meters.clock.Record(context.Background(), offset.Seconds()) },
		Log:     q.o.Log,
	})
}

// others names the other members.
func (q *Queue) others() []string {
	var names []string
	for _, n := range q.node.Nodes() {
		if n.Name != q.self.Node {
			names = append(names, n.Name)
		}
	}
	return names
}
