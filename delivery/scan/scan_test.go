package scan

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/state"
)

// index is a due index in memory.
type index struct {
	mu      sync.Mutex
	rows    []state.DueRow
	changed chan struct{}
	arrived chan struct{}
	news    []state.DueRow
	reads   atomic.Int64
	// skew is how far the shard's clock is ahead of ours.
	skew atomic.Int64
	seen map[mail.MessageID]time.Time
	// full: what is taken finds no room; dropped counts it. It takes cost.
	full    atomic.Bool
	dropped atomic.Uint64
	cost    atomic.Int64
}

func (x *index) Due(after state.DueRow, until time.Time, limit int) []state.DueRow {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.reads.Add(1)
	var list []state.DueRow
	for _, r := range x.rows {
		if compare(r, after) > 0 && !r.Due.After(until) && len(list) < limit {
			list = append(list, r)
		}
	}
	return list
}

func (x *index) Changed() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.changed
}

func (x *index) Arrived() <-chan struct{} { return x.arrived }

func (x *index) Arrivals([]state.DueRow) []state.DueRow {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer func() { x.news = nil }()
	return x.news
}

// accept adds a row of which the office tells by name.
func (x *index) accept(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	row := state.DueRow{Due: time.Now(), ID: mail.MessageID(id)}
	x.rows, x.news = append(x.rows, row), append(x.news, row)
	slices.SortFunc(x.rows, compare)
	select {
	case x.arrived <- struct{}{}:
	default:
	}
}

// put adds a row, as an entry does that was committed.
func (x *index) put(id string, due time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows = append(x.rows, state.DueRow{Due: due, ID: mail.MessageID(id)})
	slices.SortFunc(x.rows, compare)
	close(x.changed)
	x.changed = make(chan struct{})
}

// drop takes a row away.
func (x *index) drop(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rows = slices.DeleteFunc(x.rows, func(r state.DueRow) bool { return string(r.ID) == id })
}

func compare(a, b state.DueRow) int {
	if c := a.Due.Compare(b.Due); c != 0 {
		return c
	}
	return slices.Compare([]byte(a.ID), []byte(b.ID))
}

// when is how long after since the message was taken, and whether it was.
func (x *index) when(id string, since time.Time) (time.Duration, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	at, ok := x.seen[mail.MessageID(id)]
	return at.Sub(since), ok
}

// scanned runs f while a scanner reads x.
func scanned(t *testing.T, f func(x *index)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x := &index{changed: make(chan struct{}), arrived: make(chan struct{}, 1), seen: map[mail.MessageID]time.Time{}}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		defer run.Wait()
		defer cancel()
		run.Go(func() {
			Run(ctx, Options{
				Index: x,
				Take: func(_ context.Context, id mail.MessageID) {
					time.Sleep(time.Duration(x.cost.Load()))
					if x.full.Load() {
						x.dropped.Add(1)
					}
					x.mu.Lock()
					defer x.mu.Unlock()
					if _, ok := x.seen[id]; !ok {
						x.seen[id] = time.Now()
					}
				},
				Appetite: func() (uint64, <-chan struct{}) { return 0, nil },
				Dropped:  x.dropped.Load,
				Now:      func() time.Time { return time.Now().Add(time.Duration(x.skew.Load())) },
				Pace:     time.Now,
			})
		})
		time.Sleep(time.Minute) // virtual: the first sweeps are over
		f(x)
	})
}

func TestNewRowsAreFoundAtOnce(t *testing.T) {
	scanned(t, func(x *index) {
		began := time.Now()
		x.put("now", began)
		x.put("later", began.Add(10*time.Second))
		time.Sleep(20 * time.Second)
		if took, ok := x.when("now", began); !ok || took > 30*time.Millisecond {
			t.Errorf("found %v after %v", ok, took)
		}
		if took, ok := x.when("later", began); !ok || took < 10*time.Second || took > 10*time.Second+30*time.Millisecond {
			t.Errorf("found %v after %v", ok, took)
		}
	})
}

// TestArrivalsAreTakenWithoutReading: what the office tells of by name costs no
// look into the index, and keeps nothing else waiting.
func TestArrivalsAreTakenWithoutReading(t *testing.T) {
	scanned(t, func(x *index) {
		before := x.reads.Load()
		for i := range 1000 {
			began := time.Now()
			id := fmt.Sprint("new", i)
			x.accept(id)
			time.Sleep(time.Millisecond)
			if took, ok := x.when(id, began); !ok || took > 0 {
				t.Fatalf("%s: found %v after %v", id, ok, took)
			}
		}
		if n := x.reads.Load() - before; n > 50 { // one may be read before it is heard of
			t.Errorf("%d readings for 1,000 arrivals in a second", n)
		}
		began := time.Now()
		x.put("other", began)
		time.Sleep(time.Second)
		if took, ok := x.when("other", began); !ok || took > 30*time.Millisecond {
			t.Errorf("found %v after %v", ok, took)
		}
	})
}

// TestReleasedIsFoundSoon: a row that appears with a time long past, as of a
// message that was held, does not wait for the next sweep's time.
func TestReleasedIsFoundSoon(t *testing.T) {
	scanned(t, func(x *index) {
		for i := range 3 {
			began := time.Now()
			id := fmt.Sprint("released", i)
			x.put(id, began.Add(-time.Hour))
			time.Sleep(time.Second)
			if took, ok := x.when(id, began); !ok || took > sweepSoon {
				t.Errorf("%s: found %v after %v", id, ok, took)
			}
		}
	})
}

// TestSweepsStayRare: changes that show nothing new do not make it read all the
// time.
func TestSweepsStayRare(t *testing.T) {
	scanned(t, func(x *index) {
		before := x.reads.Load()
		for range 1000 {
			x.put("far", time.Now().Add(24*time.Hour))
			time.Sleep(10 * time.Millisecond)
		}
		if n := x.reads.Load() - before; n > 2100 { // the newest rows, and when the next is due
			t.Errorf("%d readings for 1,000 changes in ten seconds", n)
		}
	})
}

// TestTheShardsClockDecides: what a former leader with a fast clock has stamped
// is due when the shard says so, not when we do.
func TestTheShardsClockDecides(t *testing.T) {
	scanned(t, func(x *index) {
		x.skew.Store(int64(50 * time.Second))
		began := time.Now()
		x.put("ahead", began.Add(50*time.Second))
		time.Sleep(time.Second)
		if took, ok := x.when("ahead", began); !ok || took > 100*time.Millisecond {
			t.Errorf("found %v after %v", ok, took)
		}
	})
}

// What is released is found soon, also where mail came shortly before.
func TestReleasedIsFoundSoonAfterMail(t *testing.T) {
	scanned(t, func(x *index) {
		x.put("first", time.Now().Add(-time.Hour)) // a sweep has just been
		time.Sleep(time.Second)                    // of virtual time, as below
		x.accept("m")
		time.Sleep(time.Millisecond)
		x.drop("m") // it is on its way
		time.Sleep(2 * overlap)
		began := time.Now()
		x.put("released", began.Add(-time.Hour))
		time.Sleep(10 * time.Second)
		if took, ok := x.when("released", began); !ok || took > time.Second {
			t.Errorf("found: %v, after %v", ok, took)
		}
	})
}

// What becomes due while the scan rests is found, and not by the next sweep.
func TestDueWhileItRests(t *testing.T) {
	scanned(t, func(x *index) {
		x.put("first", time.Now().Add(-time.Hour))
		time.Sleep(time.Second)
		began := time.Now()
		x.put("one", began.Add(time.Second))
		x.put("other", began.Add(time.Second+tailLeast/2))
		time.Sleep(10 * time.Second)
		for _, id := range []string{"one", "other"} {
			if took, ok := x.when(id, began); !ok || took > time.Second+2*tailRest {
				t.Errorf("%s found: %v, after %v", id, ok, took)
			}
		}
	})
}

// A sweep of what finds no room leaves the processor to others, but for the
// first, and new mail does not wait for it.
func TestASweepInVainIsSlow(t *testing.T) {
	scanned(t, func(x *index) {
		x.cost.Store(int64(10 * time.Microsecond))
		x.full.Store(true)
		for i := range 40 * pageRows {
			x.put(fmt.Sprintf("dead%05d", i), time.Now().Add(-time.Hour))
		}
		time.Sleep(10 * time.Second) // virtual: the first sweep that finds them is over
		began := time.Now()
		x.accept("m")
		var most uint64
		for range 60 {
			before := x.dropped.Load()
			time.Sleep(time.Second)
			most = max(most, x.dropped.Load()-before)
		}
		if took, ok := x.when("m", began); !ok || took > 10*time.Millisecond {
			t.Errorf("new mail: taken %v, after %v", ok, took)
		}
		switch share := float64(most) / 100_000; {
		case share > 0.1:
			t.Errorf("a sweep takes %.0f %% of a second", 100*share)
		case share == 0:
			t.Error("there is no sweep")
		}
	})
}
