package clock

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// every is how often clocks are compared, and soon how long until the next
	// try while they never were.
	every = 10 * time.Second
	soon  = 250 * time.Millisecond
)

// Options says what a watch looks at; every field is needed.
type Options struct {
	Now func() time.Time
	// Others names the other members, Ask asks one for its wall clock.
	Others func() []string
	Ask    func(ctx context.Context, node string) (time.Time, error)
	// Observe is told by how much the others are ahead, by their median.
	Observe func(offset time.Duration)
	Log     *slog.Logger
}

// Watch compares a node's wall clock with the other members'.
type Watch struct {
	Guard   Guard
	o       Options
	started time.Time // the monotonic clock counts from here
}

// NewWatch makes a watch, and takes the first reading: what the clock jumps by
// from then on is noticed.
func NewWatch(o Options) *Watch {
	w := &Watch{o: o, started: time.Now()}
	w.look()
	return w
}

// Trusted reports whether the clock may decide that time is up. It notices a
// jump at once. Where there are other members, a clock that was never compared
// with theirs is not trusted: a machine that has lost its time begins with a
// wrong one. (Who leads a shard has a majority in reach, and has compared.)
func (w *Watch) Trusted() bool {
	w.look()
	return w.Guard.Trusted(w.steady()) && (w.Guard.Compared() || len(w.o.Others()) == 0)
}

// look takes a reading.
func (w *Watch) look() {
	if jump := w.Guard.Tick(w.o.Now(), w.steady()); jump != 0 {
		w.o.Log.Error("the wall clock has jumped; nothing expires until other nodes agree with it: check time synchronization", "by", jump)
	}
}

func (w *Watch) steady() time.Duration { return time.Since(w.started) }

// Run compares until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	for trusted := true; ctx.Err() == nil; Pause(ctx, w.interval()) {
		w.look()
		ahead, members := w.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		offset := w.Guard.Compare(ahead, members)
		w.o.Observe(offset)
		if !w.Guard.Compared() {
			continue
		}
		now := w.Trusted()
		switch {
		case now && !trusted:
			w.o.Log.Info("the clock is trusted again", "offset", offset)
		case !now && trusted:
			w.o.Log.Error("this node's clock cannot be trusted; it lets nothing expire: check time synchronization", "offset", offset)
		}
		trusted = now
	}
}

func (w *Watch) interval() time.Duration {
	if w.Guard.Compared() {
		return every
	}
	return soon
}

// ask asks by how much the other members' clocks are ahead. members counts
// all, this node included. The first comparison does not wait for members that
// do not answer.
func (w *Watch) ask(ctx context.Context) (ahead []time.Duration, members int) {
	others := w.o.Others()
	members = len(others) + 1
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, node := range others {
		asking.Go(func() {
			offset, ok := w.askNode(ctx, node)
			if !ok {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ahead = append(ahead, offset)
			if !w.Guard.Compared() {
				w.Guard.Compare(ahead, members)
			}
		})
	}
	asking.Wait()
	return ahead, members
}

func (w *Watch) askNode(ctx context.Context, node string) (ahead time.Duration, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	asked := time.Now()
	there, err := w.o.Ask(ctx, node)
	if err != nil {
		return 0, false
	}
	here := w.o.Now().Round(0).Add(-time.Since(asked) / 2)
	return there.Sub(here), true
}
