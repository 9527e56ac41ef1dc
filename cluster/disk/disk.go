// Package disk notices a disk that hangs (PROTOCOL 30): the node takes no mail
// while a write waits for more than a second, and gives up when it lasts.
package disk

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
)

const (
	interval = 100 * time.Millisecond
	// How long a write may hang before the node gives up: a leader's work waits
	// for it, a follower's does not.
	leaderPatience   = 10 * time.Second
	followerPatience = 30 * time.Second
)

// Options say what is watched; every field is needed.
type Options struct {
	// Ages are how long the oldest write of each group has been waiting.
	Ages func() []Age
	// Slow is from what age on the disk is slow.
	Slow time.Duration
	// Excused reports that a majority of the members has slow disks: then none
	// gives up, or a storage fail-over would stop all of them.
	Excused func() bool
	// Fail is called when the node gives up.
	Fail func(error)
	// Free is the free space of the disk, bytes.
	Free  func() uint64
	Dir   string
	Log   *slog.Logger
	Meter metric.Meter
}

// Age is how long the oldest write of a group has been waiting.
type Age struct {
	Age   time.Duration
	Leads bool // the node leads the group
}

// Watch looks at a disk. Its methods are safe for concurrent use.
type Watch struct {
	o     Options
	gauge metric.Int64Gauge
	slow  atomic.Bool
	space atomic.Pointer[space]
}

// space is what was free at a time.
type space struct {
	at    time.Time
	bytes uint64
}

// New makes a watch.
func New(o Options) (*Watch, error) {
	gauge, err := o.Meter.Int64Gauge("quorumta_raft_slow_disk",
		metric.WithDescription("1 while a write has been waiting for more than a second."))
	if err != nil {
		return nil, fmt.Errorf("make metrics: %w", err)
	}
	return &Watch{o: o, gauge: gauge}, nil
}

// Slow reports whether a write has been waiting for too long.
func (w *Watch) Slow() bool { return w.slow.Load() }

// Free is the free space of the disk, bytes, as it was at most a tenth of a
// second ago: it is asked for with every message.
func (w *Watch) Free() uint64 {
	s := w.space.Load()
	if s == nil || time.Since(s.at) > interval {
		s = &space{at: time.Now(), bytes: w.o.Free()}
		w.space.Store(s)
	}
	return s.bytes
}

// Run watches until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *Watch) look(ctx context.Context) {
	var oldest, leading time.Duration
	for _, a := range w.o.Ages() {
		oldest = max(oldest, a.Age)
		if a.Leads {
			leading = max(leading, a.Age)
		}
	}
	slow := oldest > w.o.Slow
	if w.slow.Swap(slow) != slow {
		w.o.Log.Warn("the disk's pace has changed", "slow", slow, "oldest", oldest)
		is := int64(0)
		if slow {
			is = 1
		}
		w.gauge.Record(ctx, is)
	}
	if (leading > leaderPatience || oldest > followerPatience) && !w.o.Excused() {
		w.o.Fail(fmt.Errorf("a write has been hanging for %s; check the disk below %s", oldest, w.o.Dir))
	}
}
