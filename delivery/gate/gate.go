// Package gate bounds how much is done at once for each of many keys, so that
// a slow one leaves room for the others.
package gate

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Gate lets a number of callers in for each key; safe for concurrent use.
type Gate struct {
	most  int64
	mu    sync.Mutex
	doors map[string]*door
}

// door is a key with somebody inside or waiting.
type door struct {
	inside *semaphore.Weighted
	// users are those inside or at the door; the last one takes it away.
	users int
	// slow: somebody has waited in vain.
	slow bool
}

// wait is how long it takes to see that a key is slow.
const wait = 20 * time.Millisecond

// New makes a gate that lets most callers in for each key.
func New(most int) *Gate { return &Gate{most: int64(most), doors: map[string]*door{}} }

// Enter lets the caller in; Leave is to follow. A full gate is waited at for a
// moment, since most keys are fast; false where that was in vain, from then on
// without waiting until one has left.
func (g *Gate) Enter(ctx context.Context, key string) bool {
	g.mu.Lock()
	d := g.doors[key]
	if d == nil {
		d = &door{inside: semaphore.NewWeighted(g.most)}
		g.doors[key] = d
	}
	d.users++
	slow := d.slow
	g.mu.Unlock()
	if d.inside.TryAcquire(1) {
		return true
	}
	if !slow {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		if d.inside.Acquire(ctx, 1) == nil {
			return true
		}
	}
	g.away(key, true)
	return false
}

// Leave ends what Enter began.
func (g *Gate) Leave(key string) {
	g.mu.Lock()
	g.doors[key].inside.Release(1)
	g.mu.Unlock()
	g.away(key, false)
}

func (g *Gate) away(key string, slow bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.doors[key]
	d.slow = slow
	if d.users--; d.users == 0 {
		delete(g.doors, key)
	}
}
