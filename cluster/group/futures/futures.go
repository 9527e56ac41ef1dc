// Package futures counts what Raft owes answers to, and whether a transfer of
// ours is under way.
package futures

import (
	"sync"
	"time"
)

// Futures counts what Raft owes an answer to. Each is answered as long as the
// main loop runs, so all are waited for before Raft is stopped, which would
// leave some unanswered for ever.
type Futures struct {
	mu      sync.Mutex // guards closing, and every Begin
	closing bool
	open    sync.WaitGroup
}

// Begin announces a future, which ends with Done, unless the replica closes.
func (f *Futures) Begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return false
	}
	f.open.Add(1)
	return true
}

// Done ends a future.
func (f *Futures) Done() { f.open.Done() }

// Close lets none begin any more.
func (f *Futures) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closing = true
}

// Wait waits for the last, after Close.
func (f *Futures) Wait() { f.open.Wait() }

// Transfers remembers when a transfer of ours was under way.
type Transfers struct {
	mu    sync.Mutex // guards the rest
	open  int
	ended time.Time
}

// Begin announces a transfer.
func (t *Transfers) Begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open++
}

// End ends it.
func (t *Transfers) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
	t.ended = time.Now()
}

// None reports whether no transfer was under way for so long.
func (t *Transfers) None(d time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open == 0 && time.Since(t.ended) > d
}
