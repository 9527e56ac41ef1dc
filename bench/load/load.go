package load

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"
)

// Load is one run of the generator.
type Load struct {
	o       Options
	run     string
	content *content
	targets []*target
	tally   *tally
	next    atomic.Int64 // number of the next message
	started time.Time    // set by Run before the first session
}

// target is a node and what sessions tell each other about it.
type target struct {
	address string
	// failed is when it was last found dead, Unix nanoseconds: a session that
	// reconnects leaves its own node alone for a while after that.
	failed atomic.Int64
}

// deadFor is how long a target that failed is not the first choice.
const deadFor = 3 * time.Second

// New prepares a run. It fails if there are no targets.
func New(o Options) (*Load, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	var random [5]byte
	rand.Read(random[:])
	l := &Load{o: o, run: hex.EncodeToString(random[:]), content: newContent(o)}
	for _, a := range o.Targets {
		l.targets = append(l.targets, &target{address: a})
	}
	l.tally = newTally(l.run, o.Targets)
	return l, nil
}

// ID is the run's random id, the first part of every message's.
func (l *Load) ID() string { return l.run }

// Run sends until Duration, Count or the context ends it, and returns when
// every message that was begun has been recorded.
func (l *Load) Run(ctx context.Context) Report {
	if l.o.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.o.Duration)
		defer cancel()
	}
	l.started = time.Now()
	l.tally.start(l.started)
	var wg sync.WaitGroup
	for i := range l.o.Sessions {
		s := &session{load: l, home: i % len(l.targets)}
		s.at = s.home
		wg.Go(func() { s.run(ctx) })
	}
	wg.Wait()
	return l.tally.finish(time.Now())
}

// Report is the state of the run so far.
func (l *Load) Report() Report { return l.tally.report(time.Now()) }

// ticket hands out the next message's number when it is due; ok is false when
// there is no more to send.
func (l *Load) ticket(ctx context.Context) (n int64, ok bool) {
	if ctx.Err() != nil {
		return 0, false
	}
	n = l.next.Add(1) - 1
	if l.o.Count > 0 && n >= l.o.Count {
		return 0, false
	}
	if l.o.Rate <= 0 {
		return n, true
	}
	due := l.started.Add(time.Duration(float64(n) / l.o.Rate * float64(time.Second)))
	return n, sleep(ctx, time.Until(due))
}

// sleep waits for d and reports whether ctx is still good.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
