package raftlog

import (
	"sync"
	"time"
)

// Stopwatch knows how long the oldest operation under way has been waiting. Its
// methods may be called from any goroutine; the zero value is ready.
type Stopwatch struct {
	mu    sync.Mutex // guards the rest
	next  uint64
	since map[uint64]time.Time
}

// Start notes an operation; the function it returns ends it.
func (w *Stopwatch) Start() (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since == nil {
		w.since = map[uint64]time.Time{}
	}
	id := w.next
	w.next++
	w.since[id] = time.Now()
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.since, id)
	}
}

// Oldest is 0 when nothing is under way.
func (w *Stopwatch) Oldest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var d time.Duration
	for _, t := range w.since {
		d = max(d, time.Since(t))
	}
	return d
}
