package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"quorumta/cluster"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

const (
	callPropose = "queue.propose"
	// mostGroups and mostBytes bound an entry that groups share.
	mostGroups = 200
	mostBytes  = event.MaxPart
	// mostWaiting bounds the groups that wait for an entry.
	mostWaiting = 16384
	// tryTime is how long one proposal may take before the leader is looked up
	// again.
	tryTime = 3 * time.Second
)

// verdict is what became of a proposed group. An err that is errNotProposed
// means that nothing was proposed; every other err that the outcome is not
// known (PROTOCOL 19).
type verdict struct {
	result state.Result
	err    error
}

var (
	errNotProposed = errors.New("not proposed")
	errNoOffice    = fmt.Errorf("%w: nobody leads the shard", errNotProposed)
	errBusy        = fmt.Errorf("%w: too many proposals are waiting", errNotProposed)
)

// definite reports whether the verdict says what is on record.
func (v verdict) definite() bool { return v.err == nil && v.result != state.Late }

// notProposed reports whether nothing was proposed.
func (v verdict) notProposed() bool { return errors.Is(v.err, errNotProposed) }

// failed sorts an error of cluster.Node.Propose.
func failed(err error) verdict {
	switch {
	case errors.Is(err, cluster.ErrNotLeader), errors.Is(err, cluster.ErrNoSuchShard), errors.Is(err, cluster.ErrDiskFull):
		return verdict{err: fmt.Errorf("%w: %w", errNotProposed, err)}
	}
	return verdict{err: err}
}

// propose has one group decided at the shard's leader, wherever that is. It
// tries once.
func (q *Queue) propose(ctx context.Context, shard uint16, g event.Group) verdict {
	return q.proposeAll(ctx, shard, []event.Group{g})[0]
}

// proposeAll is propose for several groups of one shard, each with a verdict
// of its own.
func (q *Queue) proposeAll(ctx context.Context, shard uint16, groups []event.Group) []verdict {
	if o := q.desk.office(shard); o != nil {
		return o.propose(ctx, groups)
	}
	leader := q.way.Leader(shard)
	if leader == "" || leader == q.self.Node {
		return repeat(verdict{err: errNoOffice}, len(groups))
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	buffer := q.buffers.Get().(*[]byte)
	*buffer = event.Append((*buffer)[:0], event.Entry{Groups: groups})
	reply, err := q.way.Call(ctx, leader, callPropose, *buffer)
	if err != nil { // the call may still be reading the buffer
		return repeat(verdict{err: fmt.Errorf("ask %s to propose: %w", leader, err)}, len(groups))
	}
	q.buffers.Put(buffer)
	return verdicts(reply, len(groups))
}

func repeat(v verdict, n int) []verdict {
	all := make([]verdict, n)
	for i := range all {
		all[i] = v
	}
	return all
}

// propose hands groups to the office's lanes and waits for all verdicts.
func (o *Office) propose(ctx context.Context, groups []event.Group) []verdict {
	all := make([]verdict, len(groups))
	waiting := make([]chan verdict, len(groups))
	for i, g := range groups {
		settled := make(chan verdict, 1)
		waiting[i] = settled
		o.lane(g).add(g, func(v verdict) { settled <- v })
	}
	for i := range waiting {
		select {
		case all[i] = <-waiting[i]:
		case <-ctx.Done():
			all[i] = verdict{err: fmt.Errorf("wait for the shard: %w", ctx.Err())}
		}
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
	all := repeat(verdict{err: errNoOffice}, len(reply))
	if o := q.desk.office(entry.Groups[0].ID.Shard()); o != nil {
		all = o.propose(ctx, entry.Groups)
	}
	for i, v := range all {
		switch {
		case v.err == nil:
			reply[i] = byte(v.result)
		case errors.Is(v.err, cluster.ErrDiskFull):
			reply[i] = answerDiskFull
		case v.notProposed():
			reply[i] = answerNotProposed
		default:
			reply[i] = answerUnknown
		}
	}
	return reply, nil
}

// verdicts reads an answer of servePropose about n groups.
func verdicts(reply []byte, n int) []verdict {
	if len(reply) != n {
		return repeat(verdict{err: fmt.Errorf("%d verdicts on %d groups", len(reply), n)}, n)
	}
	all := make([]verdict, n)
	for i, b := range reply {
		switch b {
		case answerNotProposed:
			all[i].err = errNoOffice
		case answerDiskFull:
			all[i] = failed(cluster.ErrDiskFull)
		case answerUnknown:
			all[i].err = cluster.ErrUnknownOutcome
		default:
			all[i].result = state.Result(b)
		}
	}
	return all
}

// lane is a way of groups into the log of an office: those that wait while
// entries are under way share the next one.
type lane struct {
	office *Office
	// flights is how many entries may be under way; 1 keeps the order.
	flights int

	mu      sync.Mutex
	waiting []waiting
	flying  int
	closed  bool
}

// waiting is a group that waits for an entry. settled is called once, from any
// goroutine, and does not block.
type waiting struct {
	group   event.Group
	settled func(verdict)
}

// add has the group proposed.
func (l *lane) add(g event.Group, settled func(verdict)) {
	if err := l.enqueue(waiting{g, settled}); err != nil {
		settled(verdict{err: err})
	}
}

func (l *lane) enqueue(w waiting) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errNoOffice
	}
	if len(l.waiting) >= mostWaiting {
		return errBusy
	}
	if l.flying < l.flights {
		if !l.office.shard.q.desk.spawn(l.fly) {
			return errNoOffice
		}
		l.flying++
	}
	l.waiting = append(l.waiting, w)
	return nil
}

// fly proposes entries until no group waits.
func (l *lane) fly() {
	for {
		batch := l.take()
		if len(batch) == 0 {
			return
		}
		l.office.commit(batch)
	}
}

// take takes the groups of the next entry, in order.
func (l *lane) take() []waiting {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, bytes := 0, 0
	for n < len(l.waiting) && n < mostGroups {
		bytes += weight(l.waiting[n].group)
		if n > 0 && bytes > mostBytes {
			break
		}
		n++
	}
	if n == 0 {
		l.flying--
		return nil
	}
	batch := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	return batch
}

// close refuses what waits and what comes.
func (l *lane) close() {
	l.mu.Lock()
	left := l.waiting
	l.waiting, l.closed = nil, true
	l.mu.Unlock()
	for _, w := range left {
		w.settled(verdict{err: errNoOffice})
	}
}

// weight is about how many bytes a group takes in an entry.
func weight(g event.Group) int {
	n := 64
	for _, ev := range g.Events {
		n += 256
		switch ev := ev.(type) {
		case *event.BodyPart:
			n += len(ev.Content)
		case *event.Accepted:
			n += len(ev.Content) + 128*len(ev.Envelope.Recipients)
		}
	}
	return n
}

// commit proposes one entry in the term of the office, and settles its groups.
func (o *Office) commit(batch []waiting) {
	q := o.shard.q
	entry := event.Entry{Term: o.term, Groups: make([]event.Group, len(batch))}
	at := o.stamp()
	for i, w := range batch {
		entry.Groups[i] = w.group
		entry.Groups[i].At = at
	}
	buffer := q.buffers.Get().(*[]byte)
	*buffer = event.Append((*buffer)[:0], entry)
	ctx, cancel := context.WithTimeout(o.ctx, q.o.SubmitWait)
	results, err := q.way.Propose(ctx, o.shard.id, o.term, *buffer)
	cancel()
	q.buffers.Put(buffer)
	if err == nil && len(results) != len(batch) {
		err = fmt.Errorf("%d verdicts on %d groups", len(results), len(batch))
	}
	due := err != nil
	for i, w := range batch {
		v := failed(err)
		if err == nil {
			v = verdict{result: state.Result(results[i])}
			o.note(entry.Groups[i], v.result)
		}
		due = due || makesDue(w.group)
		w.settled(v)
	}
	if due {
		o.wake()
	}
}

// makesDue reports whether rows of the due index may come of the group.
func makesDue(g event.Group) bool {
	for _, ev := range g.Events {
		switch ev.Kind() {
		case event.KindBodyPart, event.KindRenewed, event.KindClaimed, event.KindDelivered,
			event.KindHeld, event.KindRemoved, event.KindPruned, event.KindSwept, event.KindAbandoned:
		default:
			return true
		}
	}
	return false
}
