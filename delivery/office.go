package delivery

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"quorumta/delivery/outcome"
	"quorumta/delivery/scan"
	"quorumta/delivery/thaw"
	"quorumta/delivery/window"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/state"
)

// offices are those that this node delivers for.
type offices struct {
	mu   sync.Mutex
	held map[window.Office]*queue.Office
	// paused counts those that may not deliver.
	paused atomic.Int64
}

// get is nil for an office that has ended.
func (s *offices) get(o window.Office) *queue.Office {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[o]
}

// all are those that have not ended.
func (s *offices) all() []*queue.Office {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.held))
}

func (s *offices) set(o window.Office, q *queue.Office) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = map[window.Office]*queue.Office{}
	}
	s.held[o] = q
}

func (s *offices) remove(o window.Office) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, o)
}

const (
	// glance is how often an office is looked at: may it deliver?
	glance = 250 * time.Millisecond
	// forbearance is how long it may not before what waits is dropped: a lease
	// may be late for a moment.
	forbearance = time.Second
)

// serve is what an office is for; the queue calls it in a goroutine of its own.
// While the office may not deliver, it is as if there were none: what has found
// no room is found again in the index.
func (d *Deliverer) serve(ctx context.Context, q *queue.Office) {
	d.clerk.Wait(ctx) // what an operator has suspended must not go
	d.await(ctx, q, true, 0)
	for ctx.Err() == nil {
		d.tenure(ctx, q)
		if ctx.Err() != nil {
			return
		}
		d.offices.paused.Add(1)
		d.o.Log.Warn("delivery of a shard stops: its store is sick, or its lease has run out", "shard", q.Shard(), "term", q.Term())
		d.await(ctx, q, true, 0)
		d.offices.paused.Add(-1)
		if ctx.Err() == nil {
			d.o.Log.Info("delivery of a shard goes on", "shard", q.Shard(), "term", q.Term())
		}
	}
}

// tenure delivers until ctx ends, or the office may not any more.
func (d *Deliverer) tenure(ctx context.Context, q *queue.Office) {
	o := window.Office{Shard: q.Shard(), Term: q.Term()}
	d.offices.set(o, q)
	defer d.offices.remove(o)
	d.window.Enter(o)
	defer d.window.Leave(o)
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		d.await(ctx, q, false, forbearance)
		cancel()
	})
	watch.Go(func() {
		thaw.Run(ctx, thaw.Options{
			Office: q, Trusted: d.o.Queue.ClockTrusted,
			Rules:   func() thaw.Freeze { return d.rules.Load().Freeze },
			Release: d.release,
			End: func(m *state.Message) {
				if verdicts := outcome.Late(m); len(verdicts) > 0 {
					d.record(d.newAttempt(q, m, nil), verdicts)
				}
			},
		})
	})
	scan.Run(ctx, scan.Options{
		Index:    q,
		Take:     func(ctx context.Context, id mail.MessageID) { d.take(ctx, window.Key{Office: o, ID: id}) },
		Appetite: d.window.Appetite,
		Dropped:  d.window.Dropped,
		Now:      q.Now,
		Pace:     d.o.Now,
	})
	cancel()
	watch.Wait()
}

// may reports whether an office may deliver.
func (d *Deliverer) may(q *queue.Office) bool { return d.o.May(q.Shard(), q.Term()) }

// await waits until the office may deliver, or may not, for so long without a
// break; or until ctx ends.
func (d *Deliverer) await(ctx context.Context, q *queue.Office, may bool, unbroken time.Duration) {
	tick := time.NewTicker(glance)
	defer tick.Stop()
	since := d.o.Now()
	for {
		now := d.o.Now()
		if d.may(q) != may {
			since = now
		} else if now.Sub(since) >= unbroken {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// patient waits while an office may not deliver, for forbearance at most.
func (d *Deliverer) patient(q *queue.Office) bool {
	for waited := time.Duration(0); !d.may(q); waited += glance {
		if waited >= forbearance {
			return false
		}
		timer := time.NewTimer(glance)
		select {
		case <-d.work.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
	}
	return true
}

// dispatch does what time brings: lanes whose site may be tried again, jobs
// that have waited for too long, messages that are to be routed once more.
func (d *Deliverer) dispatch(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.window.Stirred():
		case <-tick.C:
			for _, j := range d.window.Impatient(200) {
				d.recorders.Go(func() { d.postpone(j) })
			}
			for _, key := range d.window.Rung() {
				d.again(ctx, key)
			}
		}
		for _, l := range d.window.Starts() {
			d.startWorker(l)
		}
	}
}
