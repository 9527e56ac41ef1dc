package queue

import (
	"context"
	"sync"
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
	// clockTime is how often clocks are compared.
	clockTime = 10 * time.Second
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

// watchClock compares this node's clock with the others' until ctx ends
// (PROTOCOL 20).
func (q *Queue) watchClock(ctx context.Context) {
	trusted := true
	for {
		if jump := q.clock.Tick(q.o.Now(), q.steady()); jump != 0 {
			q.o.Log.Error("the wall clock has jumped; nothing expires until other nodes agree with it: check time synchronization", "by", jump)
		}
		ahead, members := q.otherClocks(ctx)
		if ctx.Err() != nil {
			return
		}
		offset := q.clock.Compare(ahead, members)
		q.meters.clock.Record(ctx, offset.Seconds())
		if now := q.ClockTrusted(); now != trusted {
			trusted = now
			if trusted {
				q.o.Log.Info("the clock is trusted again", "offset", offset)
			} else {
				q.o.Log.Error("this node's clock cannot be trusted; it lets nothing expire: check time synchronization", "offset", offset)
			}
		}
		if !clock.Pause(ctx, clockTime) {
			return
		}
	}
}

// otherClocks asks by how much the other members' clocks are ahead. members
// counts all, this node included.
func (q *Queue) otherClocks(ctx context.Context) (ahead []time.Duration, members int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	members = 1
	for _, n := range q.node.Nodes() {
		if n.Name == q.self.Node {
			continue
		}
		members++
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			asked := time.Now()
			there, err := call.Ask[struct{}, reading](ctx, q.way.Call, n.Name, callClock, struct{}{})
			if err != nil {
				return
			}
			here := q.o.Now().Add(-time.Since(asked) / 2)
			mu.Lock()
			defer mu.Unlock()
			ahead = append(ahead, time.UnixMilli(there.Milliseconds).Sub(here.Round(0)))
		})
	}
	wg.Wait()
	return ahead, members
}
