// Package desk has the replicas that are open on a node, and runs them.
package desk

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// Replica is what a desk has of each shard.
type Replica interface {
	// Shard is the replica's shard.
	Shard() uint16
	// Run runs the replica until ctx ends. It is called once.
	Run(ctx context.Context)
}

// Desk has replicas. Its methods are safe for concurrent use.
type Desk[R Replica] struct {
	running sync.WaitGroup

	mu   sync.RWMutex // guards the rest
	open map[uint16]*entry[R]
	ctx  context.Context // replicas run under it; nil before Start
}

type entry[R Replica] struct {
	replica R
	stop    context.CancelFunc // nil before it runs
	ended   chan struct{}      // closed when nothing of it runs any more
}

// New makes an empty desk.
func New[R Replica]() *Desk[R] { return &Desk[R]{open: map[uint16]*entry[R]{}} }

// Get is the open replica of the shard.
func (d *Desk[R]) Get(shard uint16) (r R, ok bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	e := d.open[shard]
	if e == nil {
		return r, false
	}
	return e.replica, true
}

// All are the open replicas, ascending by shard.
func (d *Desk[R]) All() []R {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make([]R, 0, len(d.open))
	for _, shard := range slices.Sorted(maps.Keys(d.open)) {
		all = append(all, d.open[shard].replica)
	}
	return all
}

// Add adds a replica of a shard that has none open. It runs from now on, or
// from Start.
func (d *Desk[R]) Add(r R) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := &entry[R]{replica: r, ended: make(chan struct{})}
	d.open[r.Shard()] = e
	if d.ctx != nil {
		d.runLocked(e)
	}
}

// Start has all replicas run until ctx ends, those to come too.
func (d *Desk[R]) Start(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ctx = ctx
	for _, e := range d.open {
		d.runLocked(e)
	}
}

func (d *Desk[R]) runLocked(e *entry[R]) {
	ctx, stop := context.WithCancel(d.ctx)
	e.stop = stop
	d.running.Go(func() {
		defer close(e.ended)
		defer stop()
		e.replica.Run(ctx)
	})
}

// Wait returns when no replica runs any more; the context of Start has ended,
// and nobody adds.
func (d *Desk[R]) Wait() { d.running.Wait() }

// Remove ends a replica and returns when nothing of it runs. It is called after
// Start.
func (d *Desk[R]) Remove(shard uint16) (r R, ok bool) {
	d.mu.Lock()
	e := d.open[shard]
	delete(d.open, shard)
	d.mu.Unlock()
	if e == nil {
		return r, false
	}
	e.stop()
	<-e.ended
	return e.replica, true
}
