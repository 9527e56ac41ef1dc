package feed

import (
	"context"
	"errors"
	"slices"
	"sync"
)

const (
	// remembered is how many records a new follower gets at once: more than
	// one batch of the store has.
	remembered = 1024
	// buffered is how far a follower may fall behind.
	buffered = 32768
)

// ErrBehind: the follower did not keep up and has lost records; it has to
// begin again.
var ErrBehind = errors.New("fell too far behind what is happening: follow again")

// ErrClosed: nothing more will be told here; it has to be followed elsewhere.
var ErrClosed = errors.New("this node does not have the shard any more: follow again")

// Feed hands records to followers, in the order of Publish. Its methods are
// safe for concurrent use.
type Feed[R any] struct {
	mu        sync.Mutex
	recent    []R
	followers map[*Follower[R]]struct{}
	closed    bool
}

// Follower is one who follows.
type Follower[R any] struct {
	feed *Feed[R]
	// Of feed.mu:
	waiting []R
	behind  bool

	wake chan struct{}
}

// Publish hands out records. It never waits for a follower.
func (f *Feed[R]) Publish(records []R) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recent = append(f.recent, records...)
	if old := len(f.recent) - remembered; old > remembered {
		f.recent = slices.Delete(f.recent, 0, old)
	}
	for w := range f.followers {
		w.waiting = append(w.waiting, records...)
		if len(w.waiting) > buffered {
			w.waiting, w.behind = nil, true
		}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Close ends the feed: who follows is told once he has the last record.
func (f *Feed[R]) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for w := range f.followers {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Follow begins with the newest records that the feed remembers.
func (f *Feed[R]) Follow() *Follower[R] {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := &Follower[R]{feed: f, waiting: slices.Clone(f.recent), wake: make(chan struct{}, 1)}
	if f.followers == nil {
		f.followers = map[*Follower[R]]struct{}{}
	}
	f.followers[w] = struct{}{}
	return w
}

// Next waits for records and returns all that there are. It fails with
// ErrBehind, with ErrClosed after the last record, or with the context's error.
func (w *Follower[R]) Next(ctx context.Context) ([]R, error) {
	for {
		w.feed.mu.Lock()
		records, behind, closed := w.waiting, w.behind, w.feed.closed
		w.waiting = nil
		w.feed.mu.Unlock()
		switch {
		case behind:
			return nil, ErrBehind
		case len(records) > 0:
			return records, nil
		case closed:
			return nil, ErrClosed
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close ends following.
func (w *Follower[R]) Close() {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	delete(w.feed.followers, w)
}
