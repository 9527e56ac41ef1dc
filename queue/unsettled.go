package queue

import (
	"sync"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/clock"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// mostUnsettled bounds the messages that are remembered as unsettled.
const mostUnsettled = 65536

// unsettled are the messages of this process whose client was told 451 before
// anybody knew what became of them. When their shard is back, a copy that was
// committed after all must not go out beside the one that the client sends
// again; so this process does not claim them, and has them abandoned or, if
// Accepted came first, removed on record. A process that ends before that
// leaves a line "unsettled" in its log.
type unsettled struct {
	mu  sync.Mutex
	ids map[mail.MessageID]struct{}
}

// add notes a message; false if there are too many.
func (u *unsettled) add(id mail.MessageID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.ids) >= mostUnsettled {
		return false
	}
	if u.ids == nil {
		u.ids = map[mail.MessageID]struct{}{}
	}
	u.ids[id] = struct{}{}
	return true
}

func (u *unsettled) has(id mail.MessageID) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, ok := u.ids[id]
	return ok
}

func (u *unsettled) remove(id mail.MessageID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.ids, id)
}

// unsettle keeps at an unsettled message until it is known not to be there, or
// the queue is closed.
func (q *Queue) unsettle(a *event.Accepted) {
	if !q.unsettled.add(a.ID) {
		return
	}
	id, submitter := a.ID, a.Submitter
	running := q.desk.spawn(func() {
		defer q.unsettled.remove(id)
		abandoned := event.Group{ID: id, Events: []event.Event{&event.Abandoned{Submitter: submitter}}}
		removed := event.Group{ID: id, Events: []event.Event{
			&event.Removed{By: "quorumta", Why: "its client was told to send it again"}}}
		for clock.Pause(q.desk.ctx, time.Second) {
			v := q.propose(q.desk.ctx, id.Shard(), abandoned)
			if v.Definite() && (v.Result.OK() || v.Result == state.Conflict) {
				q.o.Log.Info("settled: it was never accepted", "id", id)
				return
			}
			if v.NotProposed() && q.exists(id) != nil {
				return // the shard has gone, with nothing in it
			}
			if !v.Definite() {
				continue
			}
			if v = q.propose(q.desk.ctx, id.Shard(), removed); v.Definite() {
				q.o.Log.Warn("settled: it was accepted, and removed", "id", id, "removed", v.Result.OK())
				return
			}
		}
	})
	if !running {
		q.unsettled.remove(id)
	}
}
