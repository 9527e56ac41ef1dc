package delivery

import (
	"context"
	"sync"
	"time"

	"quorumta/delivery/scan"
	"quorumta/delivery/window"
	"quorumta/internal/mail"
	"quorumta/queue"
)

// offices are those that this node delivers for.
type offices struct {
	mu   sync.Mutex
	held map[window.Office]*queue.Office
}

// get is nil for an office that has ended.
func (s *offices) get(o window.Office) *queue.Office {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[o]
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

// serve is what an office is for; the queue calls it in a goroutine of its own.
func (d *Deliverer) serve(ctx context.Context, q *queue.Office) {
	o := window.Office{Shard: q.Shard(), Term: q.Term()}
	d.offices.set(o, q)
	defer d.offices.remove(o)
	d.window.Enter(o)
	defer d.window.Leave(o)
	scan.Run(ctx, scan.Options{
		Index:    q,
		Take:     func(ctx context.Context, id mail.MessageID) { d.take(ctx, window.Key{Office: o, ID: id}) },
		Appetite: d.window.Appetite,
		Now:      d.o.Now,
	})
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
