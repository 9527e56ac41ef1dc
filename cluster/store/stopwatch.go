package store

import (
	"sync"
	"time"
)

// stopwatch knows how long the oldest operation under way has been waiting.
type stopwatch struct {
	mu    sync.Mutex // guards the rest
	next  uint64
	since map[uint64]time.Time
}

// start notes an operation; the function it returns ends it.
func (w *stopwatch) start() (stop func()) {
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

// oldest is 0 when nothing is under way.
func (w *stopwatch) oldest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var d time.Duration
	for _, t := range w.since {
		d = max(d, time.Since(t))
	}
	return d
}
