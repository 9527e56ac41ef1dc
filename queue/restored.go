package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quorumta/cluster"
	"quorumta/queue/call"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/office"
	"quorumta/queue/query"
	"quorumta/queue/state"
)

const callResume = "queue.resume"

// Suspension is why messages of a shard wait that was restored from a backup.
type Suspension = query.Suspension

// Suspend makes what was just restored from a backup wait until an operator
// resumes it: it may have been delivered after the backup was taken. It is
// called on a shard's state before its group is first opened, with what the
// group will begin with: index and term of the last entry in the state. Every
// replica that is restored by itself must be given the same arguments. What was
// let go before the backup waits again.
func Suspend(view cluster.View, batch cluster.Batch, index, term uint64, at, backup time.Time, by string) error {
	e := event.Entry{Term: term, Groups: []event.Group{{
		At:     at.UTC().Truncate(time.Millisecond),
		Events: []event.Event{&event.Suspended{By: by, Backup: backup.UTC().Truncate(time.Millisecond)}},
	}}}
	if r := state.Fold(view, batch, index, term, e)[0]; !r.OK() {
		return fmt.Errorf("suspend what was restored: %s", r)
	}
	return nil
}

// resumption asks a leader to end the suspension of a shard.
type resumption struct {
	Shard uint16 `json:"shard"`
	By    string `json:"by"`
}

// resumed is the answer: the result, or 0 if nothing was proposed.
type resumed struct {
	Result state.Result `json:"result"`
}

// Resume lets all messages go on that wait because they were restored, on
// record. Those that are held stay held. It fails with ErrUnavailable if a shard
// does not answer; the others go on nevertheless.
func (q *Queue) Resume(ctx context.Context, by string) error {
	if err := q.mayPropose(event.Group{Events: []event.Event{&event.Resumed{By: by}}}); err != nil {
		return err
	}
	shards := q.node.Shards()
	failed := make(chan error, len(shards))
	for _, shard := range shards {
		go func() {
			_, _, err := q.persist(ctx, shard, func(ctx context.Context) lane.Verdict { return q.resume(ctx, resumption{shard, by}) })
			failed <- err
		}()
	}
	var err error
	for range shards {
		err = errors.Join(err, <-failed)
	}
	return err
}

// resume has the suspension ended by the shard's leader, wherever that is.
func (q *Queue) resume(ctx context.Context, r resumption) lane.Verdict {
	leader := q.way.Leader(r.Shard)
	if q.desk.office(r.Shard) != nil || leader == "" || leader == q.self.Node {
		return q.resumeHere(ctx, r)
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	a, err := call.Ask[resumption, resumed](ctx, q.way.Call, leader, callResume, r)
	if err == nil && a.Result == 0 {
		err = lane.ErrNoOffice
	}
	return lane.Verdict{Result: a.Result, Err: err}
}

func (q *Queue) resumeHere(ctx context.Context, r resumption) lane.Verdict {
	o := q.desk.office(r.Shard)
	if o == nil {
		return lane.Verdict{Err: lane.ErrNoOffice}
	}
	return o.Propose(ctx, []event.Group{{Events: []event.Event{&event.Resumed{By: r.By}}}})[0]
}

// serveResume answers another node.
func (q *Queue) serveResume(ctx context.Context, r resumption) (resumed, error) {
	v := q.resumeHere(ctx, r)
	if v.NotProposed() {
		return resumed{}, nil
	}
	return resumed{v.Result}, v.Err
}

// mayPropose fails with office.ErrTooNew for what not all members know.
func (q *Queue) mayPropose(g event.Group) error {
	return office.Known(q.o.Level(), g)
}
