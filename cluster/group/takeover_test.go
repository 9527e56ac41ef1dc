package group

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/internal/sim"
)

// gang is peers that reach each other beside Raft.
type gang struct {
	all []*bench

	mu      sync.Mutex // guards the rest
	dead    raft.ServerID
	closing int // probes that the dead one's port still takes
	asked   int // times that somebody's standing was asked for
	waits   []time.Duration
}

func (g *gang) Refused(_ context.Context, id raft.ServerID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if id != g.dead {
		return false
	}
	g.closing--
	return g.closing < 0
}

func (g *gang) Standing(ctx context.Context, id raft.ServerID, _ uint16, dead raft.ServerID) (Standing, error) {
	g.mu.Lock()
	g.asked++
	if len(g.waits) > 0 {
		wait := g.waits[0]
		g.waits = g.waits[1:]
		g.mu.Unlock()
		return Standing{Agrees: true, Wait: wait}, nil
	}
	g.mu.Unlock()
	i := slices.IndexFunc(g.all, func(b *bench) bool { return b.o.Self == id })
	if i < 0 {
		return Standing{}, errors.New("no such peer")
	}
	return g.all[i].g.Standing(ctx, dead), nil
}

// kill ends a replica as kill -9 does: its port takes so many probes yet.
func (g *gang) kill(net *sim.Network, b *bench, closing int) {
	g.mu.Lock()
	g.dead, g.closing = b.o.Self, closing
	g.mu.Unlock()
	net.Crash(b.name)
	b.stop()
	b.stop = nil
}

// banded gives the replicas a gang.
func banded(t *testing.T, f func(t *testing.T, net *sim.Network, g *gang)) {
	inBubble(t, 3, func(t *testing.T, net *sim.Network, all []*bench) {
		g := &gang{all: all}
		for _, b := range all {
			b.o.Peers = g
			var err error
			if b.g, err = New(b.o); err != nil {
				t.Fatal(err)
			}
			b.run()
		}
		f(t, net, g)
	})
}

// A killed leader is followed fast, though its port outlives its connections by
// a moment (PROTOCOL 26).
func TestTakeoverWhilePortCloses(t *testing.T) {
	for closing := range 5 {
		banded(t, func(t *testing.T, net *sim.Network, g *gang) {
			first := leader(t, g.all)
			if err := first.put("a"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			g.kill(net, first, closing)
			start := time.Now()
			rest := slices.DeleteFunc(slices.Clone(g.all), func(b *bench) bool { return b == first })
			leader(t, rest)
			if took := time.Since(start); took > 1200*time.Millisecond {
				t.Errorf("the port takes %d probes: %v", closing, took)
			}
		})
	}
}

// Who should win waits until the others have forgotten the leader, also when
// they hear from it again meanwhile: they would refuse it their votes.
func TestTakeoverWaitsForTheOthers(t *testing.T) {
	banded(t, func(t *testing.T, net *sim.Network, g *gang) {
		first := leader(t, g.all)
		time.Sleep(3 * time.Second)
		i := slices.Index(g.all, first)
		other := g.all[(i+1)%3]
		r, err := other.g.replica()
		if err != nil {
			t.Fatal(err)
		}
		r.follow.Store(&dead{leader: first.o.Self}) // not by itself
		third := g.all[(i+2)%3]
		third.stop()
		third.stop = nil
		g.kill(net, first, 0)
		const more = 700 * time.Millisecond
		g.waits = []time.Duration{0, more, more, 0}
		start := time.Now()
		if !r.takeOver(context.Background(), first.o.Self) {
			t.Fatal("it does not take over")
		}
		if took := time.Since(start); took < more+headStart {
			t.Errorf("it campaigns after %v, and the other waits for %v", took, more)
		}
		if len(g.waits) != 0 {
			t.Errorf("it did not ask again: %v", g.waits)
		}
	})
}
