// Package pressure tells how near this process is to the memory that it may
// use, so that the rooms can take less before the collector does nothing else.
//
// What counts is what lasts: the heap that the last collection found in use,
// and what the runtime has beside the heap (stacks, its own tables). Garbage
// does not: the collector lets it grow up to the limit however small the rest
// is. Memory that is not Go's, such as the store's caches, is bounded by those
// who have it, and is not in the limit.
package pressure

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

const (
	// high is the share of the limit above which memory is short, and low the
	// one below which it is not any more: what stands between keeps rooms from
	// changing their mind with every message.
	high = 0.90
	low  = 0.85
	// freshness is how old a reading may be.
	freshness = 100 * time.Millisecond
	// collectEvery is how often garbage is collected while memory is short: what
	// was let go counts until then, and a node that takes nothing makes no
	// garbage that would have it collected.
	collectEvery = 2 * time.Second
)

// Options say what is read. Zero means the default.
type Options struct {
	// Limit is the memory that the process may use, bytes; 0 means the
	// collector's limit, and without one memory is never short.
	Limit int64
	// Used is how much of it lasts, bytes; nil means the runtime's word.
	Used func() int64
	// Collect collects garbage; nil means runtime.GC.
	Collect func()
	// Log is told when memory gets short and when it no longer is; nil means
	// slog.Default.
	Log *slog.Logger
	// Meter; nil means none.
	Meter metric.Meter
}

// Gauge reads the pressure; safe for concurrent use.
type Gauge struct {
	limit int64
	used  func() int64
	gc    func()
	log   *slog.Logger
	began time.Time
	// read is when the last reading was made, and collected when garbage was, as
	// time since began.
	read, collected atomic.Int64
	// share is what it said, as the bits of a float64; short is whether memory
	// is short.
	share atomic.Uint64
	short atomic.Bool
}

// New makes a gauge.
func New(o Options) (*Gauge, error) {
	g := &Gauge{limit: o.Limit, used: o.Used, gc: o.Collect, log: o.Log, began: time.Now()}
	if g.limit <= 0 {
		g.limit = debug.SetMemoryLimit(-1) // reads it
	}
	if g.used == nil {
		g.used = lasting
	}
	if g.gc == nil {
		g.gc = runtime.GC
	}
	if g.log == nil {
		g.log = slog.Default()
	}
	if o.Meter == nil {
		o.Meter = noop.NewMeterProvider().Meter("")
	}
	g.read.Store(-int64(freshness))
	return g, g.observe(o.Meter)
}

func (g *Gauge) observe(m metric.Meter) error {
	_, err := m.Float64ObservableGauge("quorumta_memory_pressure", metric.WithUnit("1"),
		metric.WithDescription("Memory that lasts, as a share of the limit; above 0.9 clients are turned away."),
		metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
			o.Observe(g.Share())
			return nil
		}))
	_, errLimit := m.Int64ObservableGauge("quorumta_memory_limit", metric.WithUnit("By"),
		metric.WithDescription("The limit of memory; GOMEMLIMIT sets it."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(g.limit)
			return nil
		}))
	return errors.Join(err, errLimit)
}

// Short reports whether memory is short. It takes no time to speak of: asked
// often, it reads the runtime's numbers ten times a second.
func (g *Gauge) Short() bool {
	g.refresh()
	return g.short.Load()
}

// Share is how much of the limit is used by what lasts; 0 without a limit.
func (g *Gauge) Share() float64 {
	g.refresh()
	return math.Float64frombits(g.share.Load())
}

func (g *Gauge) refresh() {
	now, last := int64(time.Since(g.began)), g.read.Load()
	if now-last < int64(freshness) || !g.read.CompareAndSwap(last, now) {
		return // fresh, or being made so
	}
	if g.limit == math.MaxInt64 {
		return
	}
	if g.short.Load() && now-g.collected.Load() >= int64(collectEvery) {
		g.collected.Store(now)
		g.gc()
	}
	used := g.used()
	share := float64(used) / float64(g.limit)
	g.share.Store(math.Float64bits(share))
	switch was := g.short.Load(); {
	case !was && share >= high:
		g.short.Store(true)
		g.collected.Store(now)
		g.log.Warn("memory is short: clients are turned away until there is more; raise GOMEMLIMIT if this lasts",
			"used", used, "limit", g.limit)
	case was && share < low:
		g.short.Store(false)
		g.log.Info("memory is no longer short", "used", used, "limit", g.limit)
	}
}

// The runtime's numbers that make up what lasts: what is live, and all that is
// mapped but for the heap's objects, room and returned pages.
const (
	live     = "/gc/heap/live:bytes"
	total    = "/memory/classes/total:bytes"
	objects  = "/memory/classes/heap/objects:bytes"
	unused   = "/memory/classes/heap/unused:bytes"
	free     = "/memory/classes/heap/free:bytes"
	released = "/memory/classes/heap/released:bytes"
)

// lasting is the memory that a collection would not give back.
func lasting() int64 {
	samples := []metrics.Sample{{Name: live}, {Name: total}, {Name: objects}, {Name: unused}, {Name: free}, {Name: released}}
	metrics.Read(samples)
	sum := samples[0].Value.Uint64() + samples[1].Value.Uint64()
	for _, s := range samples[2:] {
		sum -= s.Value.Uint64()
	}
	return int64(sum)
}
