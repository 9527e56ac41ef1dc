package netns

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Shape is what a bad line does to packets.
type Shape struct {
	// Delay holds each back; Jitter is the most that is added at random to
	// that, so that later ones overtake.
	Delay, Jitter time.Duration
	// Loss is the share that is dropped, 0 to 1.
	Loss float64
}

// queueNumber is the queue that packets wait in, of each host's own.
const queueNumber = 1

// Shape makes the ways between all hosts bad ones until stop is called, which
// opens all ways as Heal does and waits for the packets that are held back.
func (l *Lab) Shape(ctx context.Context, s Shape) (stop func() error, err error) {
	shaping, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	stop = func() error {
		err := l.Heal(context.WithoutCancel(ctx))
		cancel()
		work.Wait()
		return err
	}
	for _, h := range l.Hosts {
		var q *queue
		if err := h.Do(func() (err error) { q, err = openQueue(queueNumber); return err }); err != nil {
			return nil, errors.Join(fmt.Errorf("open the packet queue of host %s: %w", h.Name, err), stop())
		}
		work.Go(func() { s.run(shaping, q) })
	}
	var ways []Way
	for _, h := range l.Hosts {
		ways = append(ways, To(h, l.Others(h)...)...)
	}
	if err := l.rule(ctx, ways, fmt.Sprintf("NFQUEUE --queue-num %d --queue-bypass", queueNumber)); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// run holds the packets of one queue back until ctx ends; what is held then
// goes at once.
func (s Shape) run(ctx context.Context, q *queue) {
	arrived := make(chan uint32)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(arrived)
		q.read(ctx, func(id uint32) { arrived <- id })
	})
	defer func() {
		reading.Wait()
		q.close()
	}()
	var waiting held
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case id, open := <-arrived:
			if !open {
				for _, p := range waiting {
					q.verdict(p.id, true)
				}
				return
			}
			if rand.Float64() < s.Loss {
				q.verdict(id, false)
				continue
			}
			heap.Push(&waiting, packet{id, time.Now().Add(s.Delay + time.Duration(rand.Float64()*float64(s.Jitter)))})
		case <-timer.C:
		}
		for len(waiting) > 0 && !time.Now().Before(waiting[0].due) {
			q.verdict(heap.Pop(&waiting).(packet).id, true)
		}
		if len(waiting) > 0 {
			timer.Reset(time.Until(waiting[0].due))
		}
	}
}

// packet is one that is held back.
type packet struct {
	id  uint32
	due time.Time
}

// held are packets, the next one due first.
type held []packet

func (h held) Len() int           { return len(h) }
func (h held) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h held) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *held) Push(p any) { *h = append(*h, p.(packet)) }

// Pop implements heap.Interface.
func (h *held) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	*h = (*h)[:last]
	return p
}
