package transport

import (
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Lease tells how long no other node can lead (PROTOCOL 25). A follower that
// answered an append which was sent at t gives nobody its vote before t plus
// the heartbeat time-out, of which a fifth is left for clocks that run at
// different speeds. It counts from sending, on the monotonic clock: an answer
// that lay in a buffer while the process was paused renews nothing.
type Lease struct {
	length time.Duration

	mu     sync.Mutex // guards the rest
	term   uint64
	sent   map[raft.ServerID]time.Time // newest answered append of the term
	ended  uint64                      // the term that a transfer took the lease from
	voters []raft.ServerID             // without this node
}

// NewLease makes the lease of a replica; voters are the others.
func NewLease(length time.Duration, voters []raft.ServerID) *Lease {
	return &Lease{length: length, sent: map[raft.ServerID]time.Time{}, voters: voters}
}

// answered notes that the peer has accepted an append of the term.
func (l *Lease) answered(term uint64, peer raft.ServerID, sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if term < l.term {
		return
	}
	if term > l.term {
		l.term = term
		clear(l.sent)
	}
	if sent.After(l.sent[peer]) {
		l.sent[peer] = sent
	}
}

// End ends the lease of the term for good: the office was offered to another.
func (l *Lease) End(term uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = max(l.ended, term)
}

// Over reports whether the lease of the term was ended by a transfer.
func (l *Lease) Over(term uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return term <= l.ended
}

// Runs reports whether the lease of the term runs at now.
func (l *Lease) Runs(term uint64, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if term <= l.ended {
		return false
	}
	needed := (len(l.voters) + 1) / 2 // with this node, a majority
	if needed == 0 {
		return true
	}
	if term != l.term {
		return false
	}
	var times []time.Time
	for _, v := range l.voters {
		times = append(times, l.sent[v])
	}
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	from := times[needed-1]
	return !from.IsZero() && now.Before(from.Add(l.length))
}

// Contacts is when each peer last accepted an append of the term.
func (l *Lease) Contacts(term uint64) map[raft.ServerID]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[raft.ServerID]time.Time{}
	if term == l.term {
		for id, t := range l.sent {
			all[id] = t
		}
	}
	return all
}
