package delivery

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// gate bounds how many messages for one domain are being routed, so that a
// domain with slow DNS leaves room for the others.
type gate struct {
	most  int64
	mu    sync.Mutex
	doors map[string]*door
}

// door is a domain for which messages are being routed.
type door struct {
	inside *semaphore.Weighted
	// users are those inside or at the door; the last one takes it away.
	users int
	// slow: somebody has waited in vain.
	slow bool
}

// gateWait is how long it takes to see that a domain is slow.
const gateWait = 20 * time.Millisecond

func newGate(most int) *gate { return &gate{most: int64(most), doors: map[string]*door{}} }

// enter lets a message in; leave is to follow. A full gate is waited at for a
// moment, since most domains are fast; false where that was in vain, from then
// on without waiting until one has left.
func (g *gate) enter(ctx context.Context, domain string) bool {
	g.mu.Lock()
	d := g.doors[domain]
	if d == nil {
		d = &door{inside: semaphore.NewWeighted(g.most)}
		g.doors[domain] = d
	}
	d.users++
	slow := d.slow
	g.mu.Unlock()
	if d.inside.TryAcquire(1) {
		return true
	}
	if !slow {
		ctx, cancel := context.WithTimeout(ctx, gateWait)
		defer cancel()
		if d.inside.Acquire(ctx, 1) == nil {
			return true
		}
	}
	g.away(domain, true)
	return false
}

// leave ends what enter began.
func (g *gate) leave(domain string) {
	g.mu.Lock()
	g.doors[domain].inside.Release(1)
	g.mu.Unlock()
	g.away(domain, false)
}

func (g *gate) away(domain string, slow bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.doors[domain]
	d.slow = slow
	if d.users--; d.users == 0 {
		delete(g.doors, domain)
	}
}
