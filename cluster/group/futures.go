package group

import (
	"sync"
	"time"
)

// futures counts what Raft owes an answer to. Each is answered as long as the
// main loop runs, so all are waited for before Raft is stopped, which would
// leave some unanswered for ever.
type futures struct {
	mu      sync.Mutex // guards closing, and every begin
	closing bool
	open    sync.WaitGroup
}

// begin announces a future, which ends with done, unless the replica closes.
func (f *futures) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return false
	}
	f.open.Add(1)
	return true
}

func (f *futures) done() { f.open.Done() }

// close lets none begin any more; wait waits for the last.
func (f *futures) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closing = true
}

func (f *futures) wait() { f.open.Wait() }

// transfers remembers when a transfer of ours was under way.
type transfers struct {
	mu    sync.Mutex // guards the rest
	open  int
	ended time.Time
}

func (t *transfers) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open++
}

func (t *transfers) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open--
	t.ended = time.Now()
}

// none reports whether no transfer was under way for so long.
func (t *transfers) none(d time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.open == 0 && time.Since(t.ended) > d
}
