package dns

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// mostFlights is how many questions are under way at once; who asks more
	// waits for a place.
	mostFlights = 256
	// popular is how often an answer must have been used to be asked for again
	// before it ends.
	popular = 3
	// mostOctets is how much all answers together may take on the wire, in
	// memory a few times that: one may have 64 KB, and whoever owns many domains
	// makes many.
	mostOctets = 16 << 20
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
	// octets is its size on the wire.
	octets int
}

type entry struct {
	answer
	until time.Time
	// used counts the times that it was given out.
	used int
}

// flight is a question under way; done is closed when the answer is there. It
// goes on when those who asked have given up: the next one will want to know.
type flight struct {
	done chan struct{}
	answer
	// ahead says that nobody waits for it: the answer in memory still holds.
	ahead bool
}

// asker asks a question; called without locks.
type asker func(context.Context, question) answer

// cache remembers answers and has each question asked once at a time.
type cache struct {
	limit int
	ask   asker
	// ahead is told of questions that are asked ahead of need.
	ahead  func()
	places chan struct{}

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	flying sync.WaitGroup

	mu      sync.Mutex // guards what follows
	closed  bool
	age     int // counts the times that all was forgotten
	octets  int // of all entries
	entries map[question]*entry
	flights map[question]*flight
}

func newCache(limit int, ask asker, ahead func()) *cache {
	c := &cache{limit: limit, ask: ask, ahead: ahead, places: make(chan struct{}, mostFlights)}
	c.entries, c.flights = map[question]*entry{}, map[question]*flight{}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// close ends all questions and returns when none is under way.
func (c *cache) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.flying.Wait()
}

// forget drops all answers, also those of questions that are under way.
func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
	clear(c.flights)
	c.octets = 0
	c.age++
}

func (c *cache) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

// get returns the remembered answer, or waits for one that is on its way, or
// has it asked for.
func (c *cache) get(ctx context.Context, q question) (a answer, hit bool) {
	if a, f := c.look(q, false); f == nil {
		if a != nil {
			return *a, true
		}
	} else {
		return f.wait(ctx), true
	}
	select {
	case c.places <- struct{}{}:
	case <-ctx.Done():
		return answer{err: ctx.Err()}, false
	}
	known, f := c.look(q, true)
	if known != nil {
		return *known, true
	}
	return f.wait(ctx), false
}

// look returns what is known, or the flight that will know. With a place it
// starts one where there is neither; a place that is not needed is given back.
func (c *cache) look(q question, place bool) (*answer, *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[q]
	f, flies := c.flights[q]
	now := time.Now()
	switch {
	case ok && now.Before(e.until):
		e.used++
		if place {
			<-c.places
		}
		if !flies && e.due(now) {
			c.aheadLocked(q)
		}
		return &e.answer, nil
	case flies:
		if place {
			<-c.places
		}
		return nil, f
	case place:
		return nil, c.startLocked(q, false)
	}
	return nil, nil
}

// due reports whether a popular answer is in the last tenth of its time.
func (e *entry) due(now time.Time) bool {
	return e.err == nil && e.used >= popular && e.until.Sub(now) <= e.keep/10
}

// aheadLocked asks for an answer that is about to end, if there is a place for
// that: mail to a name that many write to never waits for it.
func (c *cache) aheadLocked(q question) {
	select {
	case c.places <- struct{}{}:
		c.startLocked(q, true)
		c.ahead()
	default:
	}
}

// startLocked starts a flight, which takes over the caller's place.
func (c *cache) startLocked(q question, ahead bool) *flight {
	f := &flight{done: make(chan struct{}), ahead: ahead, answer: answer{err: context.Canceled}}
	if c.closed {
		<-c.places
		close(f.done)
		return f
	}
	c.flights[q] = f
	age := c.age
	c.flying.Go(func() {
		a := c.ask(c.ctx, q)
		c.mu.Lock()
		defer c.mu.Unlock()
		f.answer = a
		if c.age == age {
			delete(c.flights, q)
			c.keepLocked(q, f)
		}
		close(f.done)
		<-c.places
	})
	return f
}

// keepLocked remembers an answer; a failure ahead of need takes nothing away.
func (c *cache) keepLocked(q question, f *flight) {
	if f.keep <= 0 || abandoned(f.err) || f.ahead && errors.Is(f.err, ErrTemporary) {
		return
	}
	c.putLocked(q, &entry{answer: f.answer, until: time.Now().Add(f.keep)})
}

// wait returns the flight's answer, or that of the caller's patience.
func (f *flight) wait(ctx context.Context) answer {
	select {
	case <-f.done:
		return f.answer
	case <-ctx.Done():
		return answer{err: ctx.Err()}
	}
}

// putLocked remembers an entry, for which others may have to go.
func (c *cache) putLocked(q question, e *entry) {
	c.dropLocked(q)
	for len(c.entries) > 0 && (len(c.entries) >= c.limit || c.octets+e.octets > mostOctets) {
		c.dropLocked(c.victimLocked())
	}
	c.entries[q] = e
	c.octets += e.octets
}

func (c *cache) dropLocked(q question) {
	if old, ok := c.entries[q]; ok {
		c.octets -= old.octets
		delete(c.entries, q)
	}
}

// victimLocked is the entry that ends first of a few.
func (c *cache) victimLocked() (victim question) {
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
	return victim
}

// abandoned tells the end of the asker's patience from an answer.
func abandoned(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
