package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
)

var bad = mail.Reply{Text: "connection refused"}

// cluster are books that hear each other.
type cluster struct {
	mu    sync.Mutex
	books map[string]*Book
	cut   map[string]bool
}

func (c *cluster) join(t *testing.T, name string) *Book {
	b := New(Options{
		Name: name,
		Others: func() []string {
			c.mu.Lock()
			defer c.mu.Unlock()
			var others []string
			for other := range c.books {
				if other != name {
					others = append(others, other)
				}
			}
			return others
		},
		Tell: func(ctx context.Context, member string, batch Batch) (Batch, error) {
			c.mu.Lock()
			to := c.books[member]
			cut := c.cut[member] || c.cut[name]
			c.mu.Unlock()
			if cut {
				return Batch{}, errors.New("unreachable")
			}
			return to.Hear(ctx, batch)
		},
	})
	c.mu.Lock()
	c.books[name] = b
	c.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return b
}

// TestShared: what one node has learnt all know, also one that starts later; and
// what works at one node works for all.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{books: map[string]*Book{}, cut: map[string]bool{}}
		a, b := c.join(t, "a"), c.join(t, "b")
		h := Host("mx.far.example", "192.0.2.1:25")
		first := time.Now()
		a.Failed(h, event.ErrorRefused, bad)
		a.Wait([]Key{h}, first.Add(time.Hour), false)
		time.Sleep(time.Second)
		got, ok := b.Get(h)
		if !ok || !got.First.Equal(first) || !got.Next.Equal(first.Add(time.Hour)) || got.Kind != event.ErrorRefused || got.Reply != bad || got.Node != "a" {
			t.Fatalf("%+v, %v", got, ok)
		}
		b.Failed(h, event.ErrorConnectTimeout, bad) // the clock goes on from the first failure
		late := c.join(t, "c")
		time.Sleep(time.Second)
		for name, x := range map[string]*Book{"a": a, "b": b, "c": late} {
			if got, ok := x.Get(h); !ok || !got.First.Equal(first) || got.Kind != event.ErrorConnectTimeout {
				t.Errorf("%s: %+v, %v", name, got, ok)
			}
		}
		var mu sync.Mutex
		back := map[string][]Key{}
		for name, x := range map[string]*Book{"a": a, "b": b, "c": late} {
			x.OnBack(func(keys []Key) {
				mu.Lock()
				defer mu.Unlock()
				back[name] = append(back[name], keys...)
			})
		}
		other := Host("mx2.far.example", "192.0.2.2:25")
		late.Worked(h, []Key{h, other})
		late.Worked(h, []Key{h, other}) // nothing is known against it any more
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		for name, x := range c.books {
			if _, ok := x.Get(h); ok || x.Len() != 0 || !slices.Equal(back[name], []Key{h, other}) {
				t.Errorf("%s: still bad: %v; back: %v", name, ok, back[name])
			}
		}
	})
}

// TestOldNews: what is older than what is known changes nothing.
func TestOldNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{Name: "b"})
		h := Host("mx", "192.0.2.1:25")
		b.Failed(h, event.ErrorRefused, bad)
		old, _ := b.Get(h)
		time.Sleep(time.Second)
		b.Worked(h, []Key{h})
		if _, err := b.Hear(t.Context(), Batch{Entries: []Entry{{Key: h, Failure: old}}}); err != nil {
			t.Fatal(err)
		}
		if _, ok := b.Get(h); ok {
			t.Error("an old failure is back")
		}
		time.Sleep(time.Second)
		old.First, old.Last = time.Now(), time.Now()
		_, _ = b.Hear(t.Context(), Batch{Entries: []Entry{{Key: h, Failure: old}}})
		if got, ok := b.Get(h); !ok || !got.First.Equal(old.First) {
			t.Error("a new failure is not believed")
		}
	})
}

// TestUnreachable: a node that nobody answers asks again until somebody does.
func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{books: map[string]*Book{}, cut: map[string]bool{"b": true}}
		a := c.join(t, "a")
		h := Host("mx", "192.0.2.1:25")
		a.Failed(h, event.ErrorRefused, bad)
		b := c.join(t, "b")
		time.Sleep(11 * time.Second)
		if _, ok := b.Get(h); ok {
			t.Fatal("heard through a cut")
		}
		c.mu.Lock()
		c.cut["b"] = false
		c.mu.Unlock()
		time.Sleep(again)
		if _, ok := b.Get(h); !ok {
			t.Error("has not asked again")
		}
	})
}

func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{Name: "b"})
		one, two := Host("one", "192.0.2.1:25"), Host("two", "192.0.2.2:25")
		begin := time.Now()
		b.Failed(one, event.ErrorRefused, bad)
		b.Wait([]Key{one}, begin.Add(4*time.Hour), true)
		if _, ok := b.Together([]Key{one, two}); ok {
			t.Error("fails though one of them may work")
		}
		time.Sleep(time.Hour)
		b.Failed(two, event.ErrorConnectTimeout, bad)
		b.Wait([]Key{two, Host("unknown", "")}, begin.Add(3*time.Hour), false)
		f, ok := b.Together([]Key{one, two})
		if !ok || !f.First.Equal(begin.Add(time.Hour)) || !f.Next.Equal(begin.Add(3*time.Hour)) || f.Past || f.Kind != event.ErrorConnectTimeout {
			t.Errorf("%+v, %v", f, ok)
		}
		if _, ok := b.Together(nil); ok {
			t.Error("nothing fails")
		}
	})
}

// TestBounds: it forgets what is old, and the oldest when there is too much.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{Name: "b"})
		b.Expire(time.Hour)
		first := Address("a@far.example", "s@corp.example")
		b.Failed(first, event.ErrorRecipient, mail.Reply{Code: 450, Text: string(make([]byte, 1000))})
		if got, _ := b.Get(first); len(got.Reply.Text) != maxText {
			t.Errorf("keeps %d bytes", len(got.Reply.Text))
		}
		time.Sleep(59 * time.Minute)
		if _, ok := b.Get(first); !ok {
			t.Error("forgotten too early")
		}
		time.Sleep(time.Minute)
		if _, ok := b.Get(first); ok {
			t.Error("not forgotten")
		}
		for i := range mostEntries + 10 {
			b.Failed(Host(fmt.Sprint(i), ""), event.ErrorRefused, bad)
			if i%1000 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		if n := b.Len(); n > mostEntries || n < mostEntries/4 {
			t.Errorf("%d entries", n)
		}
		if _, ok := b.Get(Host(fmt.Sprint(mostEntries+9), "")); !ok {
			t.Error("the newest is forgotten")
		}
	})
}
