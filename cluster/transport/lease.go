package transport

import (
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
	self   raft.ServerID

	mu    sync.Mutex // guards the rest
	term  uint64
	sent  map[raft.ServerID]time.Time // newest answered append of the term
	ended uint64                      // the term that a transfer took the lease from
	// configurations are the voters of every configuration that somebody could
	// be elected under: two while one is being changed.
	configurations [][]raft.ServerID
}

// NewLease makes the lease of a replica, which does not run before SetVoters.
func NewLease(length time.Duration, self raft.ServerID) *Lease {
	return &Lease{length: length, self: self, sent: map[raft.ServerID]time.Time{}}
}

// SetVoters says who votes, this replica included, in each configuration that
// somebody could be elected under: the one that holds, and from before it is
// proposed until its outcome is known the one that is to follow. A majority of
// each must have answered.
func (l *Lease) SetVoters(configurations ...[]raft.ServerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configurations = configurations
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
	for _, voters := range l.configurations {
		if !l.runsLocked(term, now, voters) {
			return false
		}
	}
	return len(l.configurations) > 0
}

// runsLocked reports whether a majority of the voters keeps its patience.
func (l *Lease) runsLocked(term uint64, now time.Time, voters []raft.ServerID) bool {
	needed := len(voters)/2 + 1
	for _, v := range voters {
		if v == l.self || (term == l.term && now.Before(l.sent[v].Add(l.length))) {
			needed--
		}
	}
	return needed <= 0
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
