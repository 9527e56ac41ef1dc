package dns

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// question is what is asked: an absolute name and a type.
type question struct {
	name  string
	qtype uint16
}

// answer is what is remembered: records, or the error that they came to.
type answer struct {
	records []dns.RR
	origin  Origin
	err     error
	// keep is how long it may be remembered.
	keep time.Duration
}

type entry struct {
	answer
	until time.Time
}

// flight is a question under way; done is closed when the answer is there.
type flight struct {
	done chan struct{}
	answer
}

// cache remembers answers and has each question asked once at a time.
type cache struct {
	limit int

	mu      sync.Mutex // guards what follows
	entries map[question]entry
	flights map[question]*flight
}

func newCache(limit int) *cache {
	return &cache{limit: limit, entries: map[question]entry{}, flights: map[question]*flight{}}
}

// get returns the remembered answer, or that of another caller's question, or
// asks. A caller that gives up does not take the others with it: one of them
// asks again.
func (c *cache) get(ctx context.Context, q question, ask func(context.Context) answer) (a answer, hit bool) {
	for {
		c.mu.Lock()
		if e, ok := c.entries[q]; ok && time.Now().Before(e.until) {
			c.mu.Unlock()
			return e.answer, true
		}
		f, ok := c.flights[q]
		if !ok {
			f = &flight{done: make(chan struct{})}
			c.flights[q] = f
			c.mu.Unlock()
			return c.fly(ctx, q, f, ask), false
		}
		c.mu.Unlock()
		select {
		case <-f.done:
			if !abandoned(f.err) {
				return f.answer, true
			}
		case <-ctx.Done():
			return answer{err: ctx.Err()}, false
		}
	}
}

// fly asks, and tells those who wait.
func (c *cache) fly(ctx context.Context, q question, f *flight, ask func(context.Context) answer) answer {
	f.answer = answer{err: context.Canceled} // stands if ask panics
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.flights, q)
		if f.keep > 0 && !abandoned(f.err) {
			c.putLocked(q, entry{f.answer, time.Now().Add(f.keep)})
		}
		close(f.done)
	}()
	f.answer = ask(ctx)
	return f.answer
}

// putLocked makes room by giving up the entry that ends first of a few.
func (c *cache) putLocked(q question, e entry) {
	if _, ok := c.entries[q]; !ok && len(c.entries) >= c.limit {
		var victim question
		var until time.Time
		seen := 0
		for candidate, old := range c.entries { // Go's order is random
			if seen == 0 || old.until.Before(until) {
				victim, until = candidate, old.until
			}
			if seen++; seen == 8 {
				break
			}
		}
		delete(c.entries, victim)
	}
	c.entries[q] = e
}

// abandoned tells the end of the asker's patience from an answer.
func abandoned(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
