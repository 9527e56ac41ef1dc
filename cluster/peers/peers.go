// Package peers knows how the other members of a cluster are: it asks each
// twice a second for a Report.
package peers

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// interval is how often each member is asked, timeout how long it may
	// take, aliveFor how long an answer counts.
	interval = 500 * time.Millisecond
	timeout  = time.Second
	aliveFor = 2 * time.Second
)

// Peers are the other members. Its methods are safe for concurrent use.
type Peers struct {
	ask   func(ctx context.Context, name string) (Report, error)
	heard func(ctx context.Context, name string, r Report)

	mu     sync.Mutex // guards the rest
	others map[string]*state
}

// Peer is what is known of one member.
type Peer struct {
	Report Report
	// Answered is its newest answer; Since is from when on it has been
	// answering without a gap.
	Answered, Since time.Time
}

type state struct {
	Peer
	asking bool
}

// New makes peers of nobody. ask asks a member how it is; heard is called with
// what it said, from a goroutine of its own.
func New(ask func(ctx context.Context, name string) (Report, error), heard func(ctx context.Context, name string, r Report)) *Peers {
	return &Peers{ask: ask, heard: heard, others: map[string]*state{}}
}

// Set says who the others are.
func (p *Peers) Set(names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.others, func(name string, _ *state) bool { return !slices.Contains(names, name) })
	for _, name := range names {
		if p.others[name] == nil {
			p.others[name] = &state{}
		}
	}
}

// Names are the others' names, in order.
func (p *Peers) Names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.others))
}

// Run asks the others how they are until ctx ends.
func (p *Peers) Run(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		for _, name := range p.Names() {
			if o := p.begin(name); o != nil {
				asking.Go(func() { p.question(ctx, name, o) })
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// begin is the member's state, or nil if it is being asked already.
func (p *Peers) begin(name string) *state {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.others[name]
	if o == nil || o.asking {
		return nil
	}
	o.asking = true
	return o
}

func (p *Peers) question(ctx context.Context, name string, o *state) {
	within, cancel := context.WithTimeout(ctx, timeout)
	r, err := p.ask(within, name)
	cancel()
	p.note(o, r, err)
	if err == nil {
		p.heard(ctx, name, r)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	o.asking = false
}

func (p *Peers) note(o *state, r Report, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			o.Answered = time.Time{} // its process is gone
		}
		return
	}
	now := time.Now()
	if now.Sub(o.Answered) > aliveFor || o.Report.Boot != r.Boot {
		o.Since = now
	}
	o.Answered, o.Report = now, r
}

// Get is what is known of a member; alive means that it answered lately.
func (p *Peers) Get(name string) (o Peer, alive bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.others[name]; known != nil {
		o = known.Peer
	}
	return o, !o.Answered.IsZero() && time.Since(o.Answered) < aliveFor
}

// Leader is who says that it holds the office of the shard, and what it knows
// of it; "" if nobody does.
func (p *Peers) Leader(shard uint16) (leader string, at Replica) {
	for _, name := range p.Names() {
		o, alive := p.Get(name)
		if r := o.Report.Shards[shard]; alive && r.Leads && (leader == "" || r.Term > at.Term) {
			leader, at = name, r
		}
	}
	return leader, at
}

// Slow is how many others have a slow disk.
func (p *Peers) Slow() (count int) {
	for _, name := range p.Names() {
		if o, alive := p.Get(name); alive && o.Report.Slow {
			count++
		}
	}
	return count
}

// SomeTake reports whether any other member is alive and takes leads.
func (p *Peers) SomeTake() bool {
	for _, name := range p.Names() {
		if o, alive := p.Get(name); alive && !o.Report.Draining {
			return true
		}
	}
	return false
}
