package transport

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// holdTick is how often an append that is held looks whether its term is over.
const holdTick = 250 * time.Millisecond

// contacts holds appends and snapshots to a peer that does not answer. Raft doubles the pause
// between them with each that fails, up to ten seconds, and heartbeats do not
// shorten it: a follower that came back would keep the leader in office, and
// get no entries. So an append that fails again does so only when the peer has
// answered a heartbeat.
type contacts struct {
	newest atomic.Uint64 // term in which this node has acted as leader or candidate

	mu     sync.Mutex                      // guards silent
	silent map[raft.ServerID]chan struct{} // whose last append failed; closed when they answer
}

// acts notes a term of this node's.
func (c *contacts) acts(term uint64) {
	for {
		old := c.newest.Load()
		if term <= old || c.newest.CompareAndSwap(old, term) {
			return
		}
	}
}

// answered notes that the peer answers.
func (c *contacts) answered(peer raft.ServerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if silent := c.silent[peer]; silent != nil {
		close(silent)
		delete(c.silent, peer)
	}
}

// fail notes that an append failed. again tells that the one before did, too;
// answered is closed when the peer answers.
func (c *contacts) fail(peer raft.ServerID) (answered <-chan struct{}, again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	silent, again := c.silent[peer]
	if again {
		return silent, true
	}
	if c.silent == nil {
		c.silent = map[raft.ServerID]chan struct{}{}
	}
	c.silent[peer] = make(chan struct{})
	return c.silent[peer], false
}

// hold keeps an append that failed until the peer answers, nobody needs it any
// more, this node acts in another term, or done is closed.
func (c *contacts) hold(peer raft.ServerID, term uint64, needed func() bool, done <-chan struct{}) {
	answered, again := c.fail(peer)
	if !again {
		return
	}
	tick := time.NewTicker(holdTick)
	defer tick.Stop()
	for c.newest.Load() <= term && needed() {
		select {
		case <-answered:
			return
		case <-done:
			return
		case <-tick.C:
		}
	}
}
