package dns

import (
	"context"
	"fmt"
	"os"
	"sync"
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

func TestCacheForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(10)
		q := question{"a.", dns.TypeA}
		asked := 0
		ask := func(context.Context) answer { asked++; return answer{keep: time.Minute} }
		for range 5 {
			c.get(t.Context(), q, ask)
			time.Sleep(25 * time.Second)
		}
		if asked != 2 {
			t.Errorf("asked %d times in 100 s, want 2", asked)
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(10)
	for i := range 100 {
		c.get(t.Context(), question{fmt.Sprint(i), dns.TypeA}, func(context.Context) answer { return answer{keep: time.Minute} })
	}
	if len(c.entries) != 10 {
		t.Errorf("%d entries, want 10", len(c.entries))
	}
}

// Many who ask the same at once cause one question; if the one who asked gives
// up, another goes on.
func TestCacheAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(10)
		q := question{"a.", dns.TypeA}
		asked := 0
		ask := func(ctx context.Context) answer {
			asked++
			select {
			case <-time.After(time.Second):
				return answer{err: ErrNoData, keep: time.Minute}
			case <-ctx.Done():
				return answer{err: ctx.Err()}
			}
		}
		impatient, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var group sync.WaitGroup
		group.Go(func() {
			if a, _ := c.get(impatient, q, ask); !abandoned(a.err) {
				t.Errorf("got %v, want the end of patience", a.err)
			}
		})
		synctest.Wait()
		for range 20 {
			group.Go(func() {
				if a, _ := c.get(t.Context(), q, ask); a.err != ErrNoData {
					t.Errorf("got %v, want %v", a.err, ErrNoData)
				}
			})
		}
		group.Wait()
		if asked != 2 {
			t.Errorf("asked %d times, want 2", asked)
		}
	})
}
