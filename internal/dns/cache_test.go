package dns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// house is a cache and what it was asked.
type house struct {
	*cache
	asked atomic.Int32
	ahead atomic.Int32
	now   answer
	slow  time.Duration
}

func newHouse(t *testing.T, a answer) *house {
	h := &house{now: a}
	h.cache = newCache(10, func(ctx context.Context, _ question) answer {
		h.asked.Add(1)
		select {
		case <-time.After(h.slow):
			return h.now
		case <-ctx.Done():
			return answer{err: ctx.Err()}
		}
	}, func() { h.ahead.Add(1) })
	t.Cleanup(h.close)
	return h
}

func TestCacheForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, answer{err: ErrNoData, keep: time.Minute})
		for range 5 {
			h.get(t.Context(), question{"a.", dns.TypeA})
			time.Sleep(25 * time.Second)
		}
		if h.asked.Load() != 2 {
			t.Errorf("asked %d times in 100 s, want 2", h.asked.Load())
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, answer{keep: time.Minute})
		for i := range 100 {
			h.get(t.Context(), question{fmt.Sprint(i), dns.TypeA})
		}
		if h.size() != 10 {
			t.Errorf("%d entries, want 10", h.size())
		}
		h.now.octets = mostOctets / 4
		for i := range 5 {
			h.get(t.Context(), question{fmt.Sprint("big", i), dns.TypeA})
		}
		if h.octets > mostOctets || h.size() < 4 {
			t.Errorf("%d entries of %d octets", h.size(), h.octets)
		}
		h.forget()
		if h.octets != 0 {
			t.Errorf("%d octets of nothing", h.octets)
		}
	})
}

// Many who ask the same at once cause one question, which goes on when the one
// who asked first gives up.
func TestCacheAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, answer{err: ErrNoData, keep: time.Minute})
		h.slow = time.Second
		q := question{"a.", dns.TypeA}
		impatient, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var group sync.WaitGroup
		group.Go(func() {
			if a, _ := h.get(impatient, q); !abandoned(a.err) {
				t.Errorf("got %v, want the end of patience", a.err)
			}
		})
		synctest.Wait()
		for range 20 {
			group.Go(func() {
				if a, _ := h.get(t.Context(), q); a.err != ErrNoData {
					t.Errorf("got %v, want %v", a.err, ErrNoData)
				}
			})
		}
		group.Wait()
		if h.asked.Load() != 1 {
			t.Errorf("asked %d times, want once", h.asked.Load())
		}
	})
}

// A name in use is asked for again before its answer ends, and nobody waits for
// that; one that is hardly used is not.
func TestPopularNamesAreAskedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, answer{origin: Origin{Name: "first"}, keep: 100 * time.Second})
		h.slow = time.Second
		busy, idle := question{"busy.", dns.TypeMX}, question{"idle.", dns.TypeMX}
		for range popular {
			h.get(t.Context(), busy)
		}
		h.get(t.Context(), idle)
		time.Sleep(94 * time.Second)
		h.now.origin.Name = "second"
		start := time.Now()
		if a, hit := h.get(t.Context(), busy); !hit || a.origin.Name != "first" || time.Since(start) != 0 {
			t.Errorf("got %q from memory %t after %v", a.origin.Name, hit, time.Since(start))
		}
		h.get(t.Context(), idle)
		time.Sleep(2 * time.Second)
		if a, hit := h.get(t.Context(), busy); !hit || a.origin.Name != "second" || h.asked.Load() != 3 || h.ahead.Load() != 1 {
			t.Errorf("got %q from memory %t, asked %d times, %d ahead", a.origin.Name, hit, h.asked.Load(), h.ahead.Load())
		}
	})
}

// A failure ahead of need leaves the answer in memory until it ends, and not
// longer (no stale answers).
func TestFailureAheadTakesNothingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, answer{keep: 100 * time.Second})
		q := question{"busy.", dns.TypeMX}
		for range popular {
			h.get(t.Context(), q)
		}
		h.now = answer{err: ErrTemporary, keep: keepTemporary}
		time.Sleep(95 * time.Second)
		h.get(t.Context(), q)
		synctest.Wait()
		if a, _ := h.get(t.Context(), q); a.err != nil || h.ahead.Load() == 0 {
			t.Errorf("got %v, %d asked ahead", a.err, h.ahead.Load())
		}
		time.Sleep(5 * time.Second)
		if a, _ := h.get(t.Context(), q); !errors.Is(a.err, ErrTemporary) {
			t.Errorf("got %v after the end, want a failure", a.err)
		}
	})
}

// No more questions than places; the others wait, as long as they like.
func TestQuestionsAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, answer{err: ErrNoData, keep: time.Minute})
		h.slow = time.Second
		var group sync.WaitGroup
		for i := range mostFlights {
			group.Go(func() { h.get(t.Context(), question{fmt.Sprint(i), dns.TypeA}) })
		}
		synctest.Wait()
		impatient, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		group.Go(func() {
			if a, _ := h.get(impatient, question{"impatient.", dns.TypeA}); !abandoned(a.err) {
				t.Errorf("got %v, want the end of patience", a.err)
			}
		})
		group.Go(func() {
			start := time.Now()
			if a, _ := h.get(t.Context(), question{"patient.", dns.TypeA}); a.err != ErrNoData || time.Since(start) != 2*time.Second {
				t.Errorf("got %v after %v", a.err, time.Since(start))
			}
		})
		synctest.Wait()
		if h.asked.Load() != mostFlights {
			t.Errorf("%d questions under way", h.asked.Load())
		}
		group.Wait()
	})
}

// What is under way when answers are forgotten is not remembered either.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, answer{origin: Origin{Name: "old"}, keep: time.Minute})
		h.slow = time.Second
		q := question{"a.", dns.TypeA}
		h.get(t.Context(), question{"b.", dns.TypeA})
		var group sync.WaitGroup
		group.Go(func() {
			if a, _ := h.get(t.Context(), q); a.origin.Name != "old" {
				t.Errorf("got %q", a.origin.Name)
			}
		})
		synctest.Wait()
		h.forget()
		group.Wait()
		if h.size() != 0 {
			t.Errorf("%d answers are remembered", h.size())
		}
	})
}
