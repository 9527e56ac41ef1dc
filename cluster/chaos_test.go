package cluster_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"quorumta/cluster"
)

// Links are cut, nodes paused and killed, leads moved, all by a schedule that
// a seed repeats, under load. At no time do two nodes hold the office of a
// shard; afterwards nothing acknowledged is missing, and all replicas are equal.
func TestChaos(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			inWorld(t, 3, 2, func(w *world) { (&chaos{world: w, rand: rand.New(rand.NewPCG(seed, 7))}).run() })
		})
	}
}

type chaos struct {
	*world
	rand *rand.Rand

	mu    sync.Mutex // guards live; never held while time passes
	live  map[string]*cluster.Node
	acked sync.Map // shard/key of what was acknowledged
}

func (c *chaos) run() {
	c.live = map[string]*cluster.Node{}
	for _, name := range c.names {
		c.live[name] = c.node(name)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for worker := range 6 {
		running.Go(func() { c.load(ctx, worker) })
	}
	running.Go(func() { c.watchOffices(ctx) })
	for range 25 {
		c.step()
		time.Sleep(time.Duration(c.rand.IntN(4000)) * time.Millisecond)
	}
	c.heal()
	time.Sleep(10 * time.Second)
	cancel()
	running.Wait()
	c.verify()
}

// step does one thing to the cluster.
func (c *chaos) step() {
	a := c.names[c.rand.IntN(3)]
	b := c.names[c.rand.IntN(3)]
	switch c.rand.IntN(8) {
	case 0:
		c.net.Cut(a, b)
	case 1:
		c.net.CutOneWay(a, b)
	case 2, 3:
		c.net.Heal()
	case 4:
		c.net.Pause(a)
		time.Sleep(time.Duration(c.rand.IntN(3000)) * time.Millisecond)
		c.net.Resume(a)
	case 5, 6:
		c.set(a, nil)
		c.kill(a)
		time.Sleep(time.Duration(c.rand.IntN(5000)) * time.Millisecond)
		c.start(a)
		c.set(a, c.node(a))
	case 7:
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = c.node(a).Transfer(ctx, 1, b)
	}
}

func (c *chaos) set(name string, node *cluster.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if node == nil {
		delete(c.live, name)
		return
	}
	c.live[name] = node
}

func (c *chaos) alive() map[string]*cluster.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.live)
}

func (c *chaos) heal() {
	c.net.Heal()
	for _, name := range c.names {
		c.net.Resume(name)
	}
}

// load proposes one key after the other, each until it is acknowledged or a
// few attempts have failed.
func (c *chaos) load(ctx context.Context, worker int) {
	shard := uint16(worker%2 + 1)
	for i := 0; ctx.Err() == nil; i++ {
		key := fmt.Sprintf("%d-%d", worker, i)
		for _, name := range c.names {
			node := c.alive()[name]
			if node != nil && tryOn(node, shard, key+"=1") == nil {
				c.acked.Store(fmt.Sprintf("%d/%s", shard, key), true)
				break
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// watchOffices finds two offices of a shard at once.
func (c *chaos) watchOffices(ctx context.Context) {
	for ctx.Err() == nil {
		for shard := range uint16(2) {
			var holders []string
			for name, node := range c.alive() {
				if _, ok := node.Term(shard + 1); ok {
					holders = append(holders, name)
				}
			}
			if len(holders) > 1 {
				c.t.Errorf("shard %d: %v hold the office at once", shard+1, holders)
			}
		}
		time.Sleep(7 * time.Millisecond)
	}
}

func (c *chaos) verify() {
	count := 0
	c.acked.Range(func(k, _ any) bool {
		var shard uint16
		var key string
		if _, err := fmt.Sscanf(k.(string), "%d/%s", &shard, &key); err != nil {
			c.t.Fatal(err)
		}
		count++
		c.within(20*time.Second, key+" is on all", func() bool {
			return !slices.ContainsFunc(c.names, func(n string) bool { _, ok := c.get(n, shard, key); return !ok })
		})
		return true
	})
	c.t.Logf("%d acknowledged", count)
	if count < 200 {
		c.t.Errorf("only %d entries were acknowledged", count)
	}
	for shard := range uint16(2) {
		c.equal(shard+1, c.names...)
	}
	for _, name := range c.names {
		for _, s := range c.node(name).Status() {
			if s.Stopped != "" {
				c.t.Errorf("%s: shard %d has stopped: %s", name, s.ID, s.Stopped)
			}
		}
	}
}
