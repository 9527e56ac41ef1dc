package lookup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// book is a directory that takes a second for each answer.
type book struct {
	mu     sync.Mutex
	says   map[string][]string
	broken error
	asked  []string
}

func (b *book) Lookup(ctx context.Context, key string) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, key)
	b.mu.Unlock()
	defer b.mu.Lock()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return b.says[key], b.broken
}

func (b *book) Close() error { return nil }

func (b *book) set(broken error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = broken
}

func (b *book) questions() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.asked)
}

func TestFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{says: map[string][]string{"a@x": {"1", "2"}, "@x": {"all"}}}
		table := New(Options{Name: "b", Source: b})
		find := func(keys ...string) string {
			values, key, err := table.Find(t.Context(), keys...)
			if err != nil {
				t.Error(err)
			}
			return key + " " + strings.Join(values, ",")
		}
		if got := find("a@x", "@x"); got != "a@x 1,2" || b.questions() != 1 {
			t.Errorf("%s after %d questions", got, b.questions())
		}
		if got := find("b@x", "b", "b", "@x"); got != "@x all" || b.questions() != 4 {
			t.Errorf("%s after %d questions", got, b.questions())
		}
		if got := find("b@x", "", "a\x00", "\xff", strings.Repeat("a", 2000)); got != " " || b.questions() != 4 {
			t.Errorf("%s after %d questions", got, b.questions())
		}
		time.Sleep(11 * time.Second) // what is not there may be by now, what is there stays
		find("b@x")
		find("a@x")
		if b.questions() != 5 {
			t.Errorf("%d questions", b.questions())
		}
		time.Sleep(time.Minute)
		find("a@x")
		if b.questions() != 6 {
			t.Errorf("%d questions", b.questions())
		}
	})
}

// Many who ask at once are one question, and who gives up does not end it for the
// others.
func TestOneQuestionForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{says: map[string][]string{"a": {"1"}}}
		table := New(Options{Source: b})
		hasty, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, _, err := table.Find(hasty, "a"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the hasty one: %v", err)
			}
		})
		synctest.Wait()
		for range 20 {
			asking.Go(func() {
				if values, _, err := table.Find(t.Context(), "a"); err != nil || len(values) != 1 {
					t.Errorf("%v, %v", values, err)
				}
			})
		}
		asking.Wait()
		if b.questions() != 1 {
			t.Errorf("%d questions", b.questions())
		}
	})
}

// A directory that fails is left alone for moments that grow, and asked again
// when it is back; what it refuses by itself is the matter of one key.
func TestABrokenDirectoryIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{says: map[string][]string{}, broken: errors.New("connection refused")}
		table := New(Options{Name: "staff", Source: b})
		n := 0
		ask := func() error {
			n++
			_, _, err := table.Find(t.Context(), fmt.Sprint(n))
			return err
		}
		for range mostFailures {
			if err := ask(); err == nil || err.Error() != "lookup staff: connection refused" {
				t.Error(err)
			}
		}
		began := time.Now()
		if err := ask(); err == nil || !strings.Contains(err.Error(), "left alone after 5 failures in a row, the last: connection refused") || time.Since(began) > 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		for time.Since(began) < 10*time.Minute {
			if ask() == nil {
				t.Fatal("no error")
			}
			time.Sleep(100 * time.Millisecond)
		}
		if q := b.questions() - mostFailures; q < 18 || q > 25 {
			t.Errorf("%d questions in ten minutes", q)
		}
		b.set(nil)
		time.Sleep(lastRest)
		for range 3 {
			if err := ask(); err != nil {
				t.Errorf("it is back: %v", err)
			}
		}
		b.set(Refused(errors.New("syntax error")))
		for range 3 * mostFailures {
			if err := ask(); err == nil || strings.Contains(err.Error(), "left alone") {
				t.Errorf("refused: %v", err)
			}
		}
	})
}

// A question that gets no answer ends.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(Options{Source: &book{}, Timeout: 300 * time.Millisecond})
		began := time.Now()
		if _, _, err := table.Find(t.Context(), "a"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 300*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestOnlySoMuchIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(Options{Source: &book{}, KeepMissing: time.Hour})
		table.mu.Lock()
		for i := range mostKept + 100 {
			table.keepLocked(fmt.Sprint(i), answer{until: time.Now().Add(time.Hour)})
		}
		n := len(table.kept)
		table.mu.Unlock()
		if n != mostKept {
			t.Errorf("%d are kept", n)
		}
	})
}
