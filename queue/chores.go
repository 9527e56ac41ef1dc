package queue

import (
	"context"
	"time"

	"quorumta/queue/call"
	"quorumta/queue/clock"
)

const callClock = "queue.clock"

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

// others names the other members, those that are alive first.
func (q *Queue) others() []string {
	var alive, silent []string
	for _, n := range q.node.Nodes() {
		switch {
		case n.Name == q.self.Node:
		case n.Alive:
			alive = append(alive, n.Name)
		default:
			silent = append(silent, n.Name)
		}
	}
	return append(alive, silent...)
}
