package queue

import (
	"context"
	"slices"
	"sync"

	"quorumta/queue/office"
)

// desk holds the shards of a node, its offices, and what runs for them.
type desk struct {
	q *Queue

	mu      sync.Mutex
	shards  map[uint16]*shard
	offices map[uint16]*Office
	changed chan struct{} // closed when an office was taken
	closed  bool

	running sync.WaitGroup // what spawn started; added under mu while not closed

	ctx context.Context // ends with the desk
	end context.CancelFunc
}

func (d *desk) open(q *Queue) {
	d.q = q
	d.shards = map[uint16]*shard{}
	d.offices = map[uint16]*Office{}
	d.changed = make(chan struct{})
	d.ctx, d.end = context.WithCancel(context.Background())
}

// close ends all offices and waits for what runs for them.
func (d *desk) close() {
	d.mu.Lock()
	d.closed = true
	left := d.offices
	d.offices = map[uint16]*Office{}
	d.mu.Unlock()
	d.end()
	for _, o := range left {
		o.End()
	}
	d.running.Wait()
}

// spawn runs f in a goroutine that close waits for; false after close.
func (d *desk) spawn(f func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.running.Go(f)
	return true
}

// host makes the machine of a shard that this node has from now on.
func (d *desk) host(id uint16) *shard {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.shards[id]
	if s == nil {
		s = &shard{q: d.q, id: id}
		d.shards[id] = s
		d.q.notes.Forget(id)
	}
	return s
}

// shard is the machine of a shard; nil where this node has no replica of it.
func (d *desk) shard(id uint16) *shard {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shards[id]
}

// drop forgets a machine.
func (d *desk) drop(s *shard) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shards[s.id] == s {
		delete(d.shards, s.id)
	}
}

// office is the office held of the shard; nil if there is none.
func (d *desk) office(id uint16) *Office {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.offices[id]
}

// all are the offices held, by shard, and a channel that is closed when there
// is another one.
func (d *desk) all() ([]*Office, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	held := make([]*Office, 0, len(d.offices))
	for _, o := range d.offices {
		held = append(held, o)
	}
	slices.SortFunc(held, func(a, b *Office) int { return int(a.Shard()) - int(b.Shard()) })
	return held, d.changed
}

func (d *desk) take(s *shard, term uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.offices[s.id] = office.New(d.q.offices, s.id, term)
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *desk) leave(id uint16) {
	d.mu.Lock()
	o := d.offices[id]
	delete(d.offices, id)
	d.mu.Unlock()
	if o != nil {
		o.End()
	}
}

// Offices hands f every office that this node takes, in a goroutine of its
// own; the context ends with the office, and f must return soon after. Offices
// returns when ctx has ended and every f has returned.
func (q *Queue) Offices(ctx context.Context, f func(context.Context, *Office)) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	given := map[*Office]bool{}
	for {
		held, changed := q.desk.all()
		for o := range given {
			if !slices.Contains(held, o) {
				delete(given, o)
			}
		}
		for _, o := range held {
			if given[o] {
				continue
			}
			given[o] = true
			wg.Go(func() {
				term, cancel := context.WithCancel(ctx)
				defer cancel()
				defer context.AfterFunc(o.Context(), cancel)()
				f(term, o)
			})
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
