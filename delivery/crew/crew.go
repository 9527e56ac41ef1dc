// Package crew runs short tasks in goroutines that are kept for the next ones,
// so that each need not grow a stack of its own.
package crew

import "sync"

// mostIdle is how many goroutines are kept that have nothing to do.
const mostIdle = 64

// Crew runs any number of tasks at once; it is safe for concurrent use. Its
// zero value has nothing to do.
type Crew struct {
	// tasks are under way; running are the goroutines, idle or not.
	tasks, running sync.WaitGroup

	mu     sync.Mutex
	idle   []chan func()
	closed bool
}

// Go runs f at once, in a goroutine of the crew.
func (c *Crew) Go(f func()) {
	c.tasks.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.idle); n > 0 {
		c.idle[n-1] <- f // it has room for one
		c.idle = c.idle[:n-1]
		return
	}
	c.running.Go(func() { c.work(f) })
}

// work runs f, and then whatever comes.
func (c *Crew) work(f func()) {
	next := make(chan func(), 1)
	for ; f != nil; f = <-next {
		f()
		c.tasks.Done()
		if !c.rest(next) {
			return
		}
	}
}

// rest lets a goroutine wait for its next task; false where there are enough.
func (c *Crew) rest(next chan func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle) == mostIdle {
		return false
	}
	c.idle = append(c.idle, next)
	return true
}

// Wait waits until no task is under way, and ends the goroutines that were
// kept. What Go is given later runs, and nobody waits for it.
func (c *Crew) Wait() {
	c.tasks.Wait()
	c.mu.Lock()
	c.closed = true
	for _, next := range c.idle {
		close(next)
	}
	c.idle = nil
	c.mu.Unlock()
	c.running.Wait()
}
