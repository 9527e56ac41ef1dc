package permits

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// town is some nodes' desks, in virtual time, with one shard whose leader can be
// moved.
type town struct {
	t     *testing.T
	names []string
	desks map[string]*Desk
	ctx   context.Context

	running sync.WaitGroup

	mu     sync.Mutex
	leader string
	term   uint64
	cut    map[string]bool // nodes that reach nobody
}

func inTown(t *testing.T, n int, f func(*town)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := &town{t: t, desks: map[string]*Desk{}, ctx: ctx, cut: map[string]bool{}}
		for i := range n {
			w.names = append(w.names, fmt.Sprintf("n%d", i+1))
		}
		defer w.running.Wait()
		defer cancel()
		w.lead("n1")
		for _, name := range w.names {
			w.desks[name] = New(w.options(name))
		}
		for _, d := range w.desks {
			w.running.Go(func() { d.Run(ctx) })
		}
		f(w)
	})
}

func (w *town) options(name string) Options {
	return Options{
		Node: name,
		Others: func() []string {
			var others []string
			for _, n := range w.names {
				if n != name {
					others = append(others, n)
				}
			}
			return others
		},
		Shards: func() []uint16 { return []uint16{1} },
		Term: func(uint16) (uint64, bool) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.term, w.leader == name
		},
		Leader: func(uint16) string {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.leader
		},
		Call: func(ctx context.Context, node, method string, request []byte) ([]byte, error) {
			time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
			w.mu.Lock()
			gone := w.cut[name] || w.cut[node]
			w.mu.Unlock()
			if gone {
				return nil, errors.New("no way")
			}
			b, err := w.desks[node].Handlers()[method](ctx, name, request)
			time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
			return b, err
		},
		Now: time.Now,
	}
}

func (w *town) lead(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leader = name
	w.term++
}

// users are nodes that hold as many connections as they get, each for a while.
type users struct {
	w       *town
	mu      sync.Mutex
	active  map[string]int
	most    int
	seconds float64 // of connections
	by      map[string]float64
}

// used are the seconds of connections that a node has had.
func (u *users) used(name string) float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.by[name]
}

func (u *users) use(name, key string, limit, wanted int, hold time.Duration) {
	p := u.w.desks[name].Permit(key, limit)
	for u.w.ctx.Err() == nil {
		u.mu.Lock()
		if u.active[name] < wanted && p.Connection(u.active[name], wanted) {
			u.active[name]++
			total := 0
			for _, n := range u.active {
				total += n
			}
			u.most = max(u.most, total)
			lasts := time.Duration(1 + rand.Int64N(int64(2*hold)))
			time.AfterFunc(lasts, func() {
				u.mu.Lock()
				defer u.mu.Unlock()
				u.seconds += lasts.Seconds()
				u.by[name] += lasts.Seconds()
				u.active[name]--
				p.Ended(u.active[name])
			})
		}
		u.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
}

// However often the leader moves, all nodes together never have more than the
// limit, and little less.
func TestALimitHoldsWhileItsLeaderMoves(t *testing.T) {
	inTown(t, 3, func(w *town) {
		u := &users{w: w, active: map[string]int{}, by: map[string]float64{}}
		for _, name := range w.names {
			w.running.Go(func() { u.use(name, "site", 10, 20, time.Second) })
		}
		for i := range 60 {
			time.Sleep(2 * time.Second)
			w.lead(w.names[i%3])
		}
		if average := u.seconds / 120; u.most > 10 || average < 9 {
			t.Errorf("%d connections at most, %.1f in the mean", u.most, average)
		}
	})
}

// What one node does not want the others get.
func TestWhatOneDoesNotWantOthersGet(t *testing.T) {
	inTown(t, 3, func(w *town) {
		u := &users{w: w, active: map[string]int{}, by: map[string]float64{}}
		w.running.Go(func() { u.use("n1", "site", 10, 1, time.Second) })
		w.running.Go(func() { u.use("n2", "site", 10, 20, time.Second) })
		before := u.used("n2")
		time.Sleep(20 * time.Second)
		if mean := (u.used("n2") - before) / 20; mean < 6.5 || u.most > 10 {
			t.Errorf("%.1f in the mean, %d at most", mean, u.most)
		}
		w.running.Go(func() { u.use("n3", "site", 10, 20, time.Second) })
		time.Sleep(5 * time.Second)
		before = u.used("n3")
		time.Sleep(20 * time.Second)
		if mean := (u.used("n3") - before) / 20; mean < 3 || mean > 6 || u.most > 10 {
			t.Errorf("%.1f in the mean, %d at most", mean, u.most)
		}
	})
}

// Who has nothing to send any more holds no connections, whatever it wanted
// before.
func TestWantsAreForgotten(t *testing.T) {
	inTown(t, 2, func(w *town) {
		one, two := w.desks["n1"].Permit("site", 10), w.desks["n2"].Permit("site", 10)
		begun, others := 0, 0
		for range 100 { // both want all
			if one.Connection(others, 10) {
				others++
			}
			if two.Connection(begun, 10) {
				begun++
			}
			time.Sleep(50 * time.Millisecond)
		}
		if begun+others != 10 {
			t.Fatalf("%d and %d of 10 connections", begun, others)
		}
		one.Ended(0)
		for range 40 {
			if two.Connection(begun, 10) {
				begun++
			}
			time.Sleep(50 * time.Millisecond)
		}
		if begun != 10 {
			t.Errorf("%d connections two seconds after the other had no use for any", begun)
		}
	})
}

// A node that is short of time, and comes back for what it wanted after more than
// a moment, finds it.
func TestSlowNodesGetTheirPart(t *testing.T) {
	inTown(t, 2, func(w *town) {
		for _, pause := range []time.Duration{300 * time.Millisecond, 900 * time.Millisecond, 1700 * time.Millisecond, 3 * time.Second} {
			connections, shares, looks := 0, 0, 20
			for range looks {
				for i, name := range w.names {
					p := w.desks[name].Permit("site "+pause.String(), 10)
					if share, _ := p.Rates(); share > 0.4 && i == 0 {
						shares++
					}
					if p.Connection(0, 10) && i == 0 {
						connections++
					}
					p.Ended(0)
				}
				time.Sleep(pause)
			}
			if connections < looks/3 || shares < looks/3 {
				t.Errorf("who comes every %v finds a connection %d times of %d, and a part of the rates %d times", pause, connections, looks, shares)
			}
		}
	})
}

// shares are what all nodes may use now of the rates.
func (w *town) shares(key string, users ...string) (each []float64, total float64) {
	for _, name := range users {
		s, _ := w.desks[name].Permit(key, 0).Rates()
		each = append(each, s)
		total += s
	}
	return each, total
}

// The parts of a rate are never more than the whole, and the whole while somebody
// uses it.
func TestRatesAreDivided(t *testing.T) {
	inTown(t, 3, func(w *town) {
		users := []string{"n1"}
		whole := 0
		for i := range 600 {
			time.Sleep(100 * time.Millisecond)
			switch i {
			case 200:
				users = append(users, "n2")
			case 400:
				users = append(users, "n3")
			}
			if i%25 == 0 {
				w.lead(w.names[i/25%3])
			}
			each, total := w.shares("site", users...)
			if total > 1.0001 {
				t.Fatalf("after %d: %v", i, each)
			}
			if total > 0.999 {
				whole++
			}
		}
		if whole < 550 {
			t.Errorf("the whole was given out %d times of 600", whole)
		}
	})
}

// What a node has no use for any more goes to the others at once, also while the
// leader moves.
func TestRatesFollowTheirUse(t *testing.T) {
	inTown(t, 3, func(w *town) {
		used, steps := 0.0, 0
		users := w.names
		for i := range 3000 {
			time.Sleep(100 * time.Millisecond)
			if i%30 == 0 {
				w.lead(w.names[rand.IntN(3)])
				users = []string{w.names[rand.IntN(3)]}
				for _, name := range w.names {
					if name != users[0] && rand.IntN(2) == 0 {
						users = append(users, name)
					}
				}
			}
			_, total := w.shares("site", users...)
			used += total
			for _, name := range w.names {
				if !slices.Contains(users, name) {
					g, _ := w.desks[name].Permit("site", 0).Holds()
					total += g.Share
				}
			}
			if total > 1.0001 {
				t.Fatalf("after %d: %v of the whole is held", i, total)
			}
			steps++
		}
		if mean := used / float64(steps); mean < 0.88 {
			t.Errorf("%.2f of the whole could be used in the mean", mean)
		}
	})
}

// Who comes back to a site after long has no part before the leader has given it
// one.
func TestWhoComesBackAsksFirst(t *testing.T) {
	inTown(t, 2, func(w *town) {
		w.shares("site", "n2")
		for range 300 {
			w.shares("site", "n1")
			time.Sleep(100 * time.Millisecond)
		}
		if each, total := w.shares("site", "n1", "n2"); total > 1.0001 {
			t.Errorf("%v", each)
		}
	})
}

// Nodes that reach no leader use a fair part each, and all of it together, once
// what was given out before is over.
func TestWithoutALeaderThePartIsFair(t *testing.T) {
	inTown(t, 3, func(w *town) {
		for range 20 {
			w.shares("site", "n1")
			time.Sleep(100 * time.Millisecond)
		}
		w.lead("")
		began := time.Now()
		for time.Since(began) < 3*term {
			each, total := w.shares("site", w.names...)
			if total > 1.0001 {
				t.Fatalf("after %v: %v", time.Since(began), each)
			}
			time.Sleep(100 * time.Millisecond)
		}
		all := 0
		for _, name := range w.names {
			g, _ := w.desks[name].Permit("site", 10).Holds()
			all += g.Connections
			if g.Connections < 3 || g.Share < 0.3 {
				t.Errorf("%s has %+v", name, g)
			}
		}
		if all != 10 {
			t.Errorf("%d connections together", all)
		}
	})
}

// A leader that cannot ask everybody renews what is held, and gives out no more
// until what the silent one may hold is over.
func TestANewLeaderWaitsForWhoIsSilent(t *testing.T) {
	inTown(t, 3, func(w *town) {
		for range 20 {
			w.shares("site", "n1")
			time.Sleep(100 * time.Millisecond)
		}
		w.mu.Lock()
		w.cut["n1"] = true
		w.mu.Unlock()
		w.lead("n2")
		began := time.Now()
		var waited time.Duration
		for waited == 0 {
			_, total := w.shares("site", "n2", "n3")
			held, until := w.desks["n1"].Permit("site", 0).Holds()
			if time.Now().Before(until) {
				total += held.Share
			}
			if total > 1.0001 {
				t.Fatalf("after %v: %v in use", time.Since(began), total)
			}
			if share, _ := w.desks["n2"].Permit("site", 0).Rates(); share > 0.4 {
				waited = time.Since(began)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if waited < term/2 || waited > 2*term {
			t.Errorf("the others waited for %v", waited)
		}
	})
}
