package query

import (
	"sync"
	"time"

	"quorumta/queue/state"
)

const (
	// fewDue is how many due messages are counted each time they are asked for.
	fewDue = 10000
	// tallyTime is for how long more of them are believed at least, and
	// tallyShare for how many times as long as the counting took.
	tallyTime  = 10 * time.Second
	tallyShare = 50
)

// tally remembers how many messages are due. There is no counter of them: time
// alone makes a message due. To count a million anew each time that a metric is
// collected costs a node more than it tells.
type tally struct {
	mu     sync.Mutex
	shards map[uint16]tallied
}

type tallied struct {
	count    uint64
	messages uint64    // open ones at that time
	until    time.Time // it is believed until then
}

// estimate is how many are due while so many messages are open: what has come
// since is due, and what has gone was.
func (t tallied) estimate(messages uint64) uint64 {
	if messages >= t.messages {
		return t.count + messages - t.messages
	}
	return t.count - min(t.count, t.messages-messages)
}

// Due counts the messages of a shard that are due at the time now. Of more than
// ten thousand the figure may be an estimate from some seconds ago.
func (a *Asker) Due(shard uint16, r state.Reader, now time.Time) uint64 {
	t := &a.tally
	t.mu.Lock()
	known := t.shards[shard]
	t.mu.Unlock()
	began := time.Now()
	if known.count > fewDue && began.Before(known.until) {
		return known.estimate(state.Count(r).Messages)
	}
	messages := state.Count(r).Messages
	count := state.CountDue(r, now)
	ended := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shards == nil {
		t.shards = map[uint16]tallied{}
	}
	t.shards[shard] = tallied{count, messages, ended.Add(max(tallyTime, tallyShare*ended.Sub(began)))}
	return count
}
