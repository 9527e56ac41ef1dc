package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quorumta/cluster"
	"quorumta/queue/event"
	"quorumta/queue/lane"
	"quorumta/queue/state"
)

const (
	callPropose = "queue.propose"
	// tryTime is how long one proposal may take before the leader is looked up
	// again.
	tryTime = 3 * time.Second
)

// failed sorts an error of cluster.Node.Propose.
func failed(err error) error {
	switch {
	case errors.Is(err, cluster.ErrNotLeader), errors.Is(err, cluster.ErrNoSuchShard), errors.Is(err, cluster.ErrDiskFull), errors.Is(err, cluster.ErrTooLarge):
		return fmt.Errorf("%w: %w", lane.ErrNotProposed, err)
	}
	return err
}

// propose has one group decided at the shard's leader, wherever that is. It
// tries once.
func (q *Queue) propose(ctx context.Context, shard uint16, g event.Group) lane.Verdict {
	if o := q.desk.office(shard); o != nil {
		return o.ProposeOne(ctx, g)
	}
	return q.proposeAll(ctx, shard, []event.Group{g})[0]
}

// proposeAll is propose for several groups of one shard, each with a verdict
// of its own.
func (q *Queue) proposeAll(ctx context.Context, shard uint16, groups []event.Group) []lane.Verdict {
	if o := q.desk.office(shard); o != nil {
		return o.Propose(ctx, groups)
	}
	leader := q.way.Leader(shard)
	if leader == "" || leader == q.self.Node {
		return repeat(lane.Verdict{Err: lane.ErrNoOffice}, len(groups))
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	buffer := q.buffers.Get().(*[]byte)
	*buffer = event.Append((*buffer)[:0], event.Entry{Groups: groups})
	reply, err := q.way.Call(ctx, leader, callPropose, *buffer)
	if err != nil { // the call may still be reading the buffer
		return repeat(lane.Verdict{Err: fmt.Errorf("ask %s to propose: %w", leader, err)}, len(groups))
	}
	q.buffers.Put(buffer)
	return verdicts(reply, len(groups))
}

func repeat(v lane.Verdict, n int) []lane.Verdict {
	all := make([]lane.Verdict, n)
	for i := range all {
		all[i] = v
	}
	return all
}

// The answer to callPropose has a byte for each group: a state.Result, or one
// of these.
const (
	answerNotProposed = 0xf0
	answerUnknown     = 0xf1
	answerDiskFull    = 0xf2
)

func (q *Queue) servePropose(ctx context.Context, from string, request []byte) ([]byte, error) {
	entry, err := event.Decode(request)
	if err != nil {
		return nil, fmt.Errorf("decode the proposal of %s: %w", from, err)
	}
	reply := make([]byte, len(entry.Groups))
	if len(reply) == 0 {
		return reply, nil
	}
	all := repeat(lane.Verdict{Err: lane.ErrNoOffice}, len(reply))
	if o := q.desk.office(entry.Groups[0].ID.Shard()); o != nil {
		all = o.Propose(ctx, entry.Groups)
	}
	for i, v := range all {
		switch {
		case v.Err == nil:
			reply[i] = byte(v.Result)
		case errors.Is(v.Err, cluster.ErrDiskFull):
			reply[i] = answerDiskFull
		case v.NotProposed():
			reply[i] = answerNotProposed
		default:
			reply[i] = answerUnknown
		}
	}
	return reply, nil
}

// verdicts reads an answer of servePropose about n groups.
func verdicts(reply []byte, n int) []lane.Verdict {
	if len(reply) != n {
		return repeat(lane.Verdict{Err: fmt.Errorf("%d verdicts on %d groups", len(reply), n)}, n)
	}
	all := make([]lane.Verdict, n)
	for i, b := range reply {
		switch b {
		case answerNotProposed:
			all[i].Err = lane.ErrNoOffice
		case answerDiskFull:
			all[i].Err = failed(cluster.ErrDiskFull)
		case answerUnknown:
			all[i].Err = cluster.ErrUnknownOutcome
		default:
			all[i].Result = state.Result(b)
		}
	}
	return all
}
