package pressure

import (
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used atomic.Int64
		g, err := New(Options{Limit: 1000, Used: used.Load, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			used  int64
			short bool
		}{{0, false}, {899, false}, {900, true}, {870, true}, {849, false}, {870, false}, {2000, true}} {
			used.Store(step.used)
			time.Sleep(freshness) // virtual
			if g.Short() != step.short || g.Share() != float64(step.used)/1000 {
				t.Errorf("at %d: short %v, share %v", step.used, g.Short(), g.Share())
			}
		}
	})
}

func TestReadSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		g, err := New(Options{Limit: 1000, Used: func() int64 { reads++; return 1 }})
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			g.Short()
			time.Sleep(time.Millisecond) // virtual
		}
		if reads > 11 {
			t.Errorf("%d readings in a second", reads)
		}
	})
}

// TestCollects: what was let go is noticed though nobody makes garbage.
func TestCollects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var used atomic.Int64
		used.Store(950)
		g, err := New(Options{
			Limit: 1000, Used: used.Load, Log: slog.New(slog.DiscardHandler),
			Collect: func() { used.Store(100) },
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(freshness) // virtual
		began := time.Now()
		for g.Short() {
			time.Sleep(freshness)
		}
		if took := time.Since(began); took == 0 || took > collectEvery+freshness {
			t.Errorf("short for %v", took)
		}
	})
}

// TestGarbageDoesNotCount: what is held does, what was let go does not.
func TestGarbageDoesNotCount(t *testing.T) {
	const much = 64 << 20
	runtime.GC()
	before := lasting()
	held := make([]byte, much)
	runtime.GC()
	if got := lasting() - before; got < much*9/10 || got > much*2 {
		t.Errorf("%d bytes held count as %d", much, got)
	}
	runtime.KeepAlive(held)
	held = nil
	runtime.GC()
	if got := lasting() - before; got > much/2 {
		t.Errorf("%d bytes of garbage count", got)
	}
}
