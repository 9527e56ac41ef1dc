package sim_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"quorumta/cluster"
	"quorumta/internal/sim"
)

// fault is one thing that goes wrong for a while.
type fault struct {
	at, lasts time.Duration
	name      string
	begin     func(c *Cluster, s *sink) (end func()) // nil: it ends by itself
}

// schedule is what goes wrong in a run, in order of time.
type schedule []fault

// String is the schedule as it is printed for a failure.
func (s schedule) String() string {
	var b strings.Builder
	for _, f := range s {
		fmt.Fprintf(&b, "  %8.3f  for %7.3f  %s\n", f.at.Seconds(), f.lasts.Seconds(), f.name)
	}
	return b.String()
}

// draw draws a schedule for so many founders and so long a time.
func draw(r *rand.Rand, nodes int, lasts time.Duration) schedule {
	var s schedule
	for at := 3 * time.Second; at < lasts; at += between(r, 2*time.Second, 12*time.Second) {
		f := drawFault(r, nodes)
		f.at = at
		if f.lasts == 0 {
			f.lasts = between(r, time.Second, 10*time.Second)
		}
		s = append(s, f)
		if r.IntN(4) > 0 {
			at += f.lasts // else the next one comes on top
		}
	}
	return s
}

// with is both schedules in one.
func (s schedule) with(other schedule) schedule {
	return slices.SortedStableFunc(slices.Values(slices.Concat(s, other)), func(a, b fault) int { return cmp.Compare(a.at, b.at) })
}

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return (least + time.Duration(r.Int64N(int64(most-least)))).Truncate(time.Millisecond)
}

// drawFault draws what goes wrong. Nodes and shards are drawn as numbers: which
// ones there are is seen when it begins.
func drawFault(r *rand.Rand, nodes int) fault {
	one := func() int { return r.IntN(nodes) }
	two := func() (int, int) {
		a, others := r.IntN(nodes), max(nodes-1, 1)
		return a, (a + 1 + r.IntN(others)) % nodes
	}
	shard := one()
	kept := []int{0, 0, 30, 70}[r.IntN(4)]
	switch n := r.IntN(22); n {
	case 0, 1:
		a, b := two()
		return cutBetween("cut %s from %s", a, b, (*sim.Network).Cut)
	case 2, 3:
		a, b := two()
		return cutBetween("cut one way from %s to %s", a, b, (*sim.Network).CutOneWay)
	case 4, 5:
		return isolate(one(), []string{"out", "in", "both"}[r.IntN(3)])
	case 6, 7, 8:
		f := stop("pause the leader", shard, (*Cluster).Pause, (*Cluster).Resume)
		f.lasts = between(r, 500*time.Millisecond, 9*time.Second)
		return f
	case 9:
		f := stop("hang the disk of the leader", shard, (*Cluster).Hang, (*Cluster).Resume)
		f.lasts = between(r, time.Second, 20*time.Second)
		return f
	case 10, 11, 12:
		return stop("kill the leader", shard, (*Cluster).Crash, (*Cluster).Start)
	case 13, 14:
		return stop(fmt.Sprintf("lose power, %d %% kept, on the leader", kept), shard,
			func(c *Cluster, name string) { c.PowerLoss(name, kept) }, (*Cluster).Start)
	case 15, 16:
		return outage(fmt.Sprintf("power lost everywhere, %d %% kept", kept), kept, func(int) int { return 0 })
	case 17:
		return outage(fmt.Sprintf("power lost on a majority, %d %% kept", kept), kept, func(nodes int) int { return (nodes - 1) / 2 })
	case 18:
		a := one()
		return fault{name: fmt.Sprintf("restart %s in good order", nth(a)), begin: func(c *Cluster, _ *sink) func() {
			name := c.someone(a)
			c.Stop(name)
			return func() { c.Start(name) }
		}}
	case 19:
		return fault{name: "the sinks die", begin: func(_ *Cluster, s *sink) func() {
			s.close()
			return func() { _ = s.open() }
		}}
	default:
		return drawMood(r)
	}
}

// nth is how a node is called that was drawn by its number.
func nth(n int) string { return fmt.Sprintf("node #%d", n+1) }

// cutBetween cuts something between two nodes.
func cutBetween(what string, a, b int, cut func(n *sim.Network, a, b string)) fault {
	return fault{name: fmt.Sprintf(what, nth(a), nth(b)), begin: func(c *Cluster, _ *sink) func() {
		if a, b := c.someone(a), c.someone(b); a != b {
			c.log.note("they are %s and %s", a, b)
			cut(c.net, a, b)
		}
		return c.net.Heal
	}}
}

// isolate cuts a node off from all others, sinks included.
func isolate(node int, way string) fault {
	return fault{name: fmt.Sprintf("cut %s off, %s", nth(node), way), begin: func(c *Cluster, _ *sink) func() {
		name := c.someone(node)
		c.log.note("it is %s", name)
		others := slices.Clone(c.names)
		if way == "both" {
			others = append(others, "sink1", "sink2")
		}
		for _, other := range others {
			if other == name {
				continue
			}
			if way != "in" {
				c.net.CutOneWay(name, other)
			}
			if way != "out" {
				c.net.CutOneWay(other, name)
			}
		}
		return c.net.Heal
	}}
}

// stop does something to whoever leads a shard then.
func stop(what string, shard int, begin, end func(*Cluster, string)) fault {
	return fault{name: fmt.Sprintf("%s of shard #%d", what, shard+1), begin: func(c *Cluster, _ *sink) func() {
		id := c.shard(shard)
		name := c.Leader(id)
		c.log.note("it is %s, of shard %d", name, id)
		begin(c, name)
		return func() { end(c, name) }
	}}
}

// shard is a shard that the number picks.
func (c *Cluster) shard(n int) cluster.ShardID {
	for _, name := range c.names {
		if p := c.process(name); p != nil && len(p.node.Shards()) > 0 {
			all := p.node.Shards()
			return all[n%len(all)]
		}
	}
	return 1
}

// outage cuts the power of all but some.
func outage(what string, kept int, spared func(nodes int) int) fault {
	return fault{name: what, begin: func(c *Cluster, _ *sink) func() {
		for _, name := range c.names[spared(len(c.names)):] {
			c.PowerLoss(name, kept)
		}
		return func() {
			for _, name := range c.names {
				c.Start(name)
			}
		}
	}}
}

func drawMood(r *rand.Rand) fault {
	m := calm
	what := ""
	switch r.IntN(4) {
	case 0:
		m.deferDot, what = 30+r.IntN(70), "defer after the dot"
	case 1:
		m.deferRcpt, what = 30+r.IntN(70), "defer recipients"
	case 2:
		m.closeLost, m.closeKept, what = 20, 20, "close after the dot"
	case 3:
		m.delay, what = between(r, time.Second, 10*time.Second), "are slow"
	}
	return fault{name: fmt.Sprintf("the sinks %s: %+v", what, m), begin: func(_ *Cluster, s *sink) func() {
		s.setMood(m)
		return func() { s.setMood(calm) }
	}}
}

// restartTime is how long whoever looks after processes lets a dead one lie.
const restartTime = 2 * time.Second

// deed is a beginning or an end of a fault.
type deed struct {
	at   time.Duration
	what string
	do   func()
}

// play does what the schedule says, and returns when all of it has ended.
func (s schedule) play(c *Cluster, k *sink) {
	began := time.Now()
	var agenda []deed
	add := func(d deed) {
		i, _ := slices.BinarySearchFunc(agenda, d.at+1, func(x deed, at time.Duration) int { return int(x.at - at) })
		agenda = slices.Insert(agenda, i, d)
	}
	for _, f := range s {
		add(deed{f.at, f.name, func() {
			end := f.begin(c, k)
			if end == nil {
				return
			}
			add(deed{time.Since(began) + f.lasts, "end: " + f.name, end})
		}})
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for len(agenda) > 0 && !c.log.failed() {
		for _, name := range c.Bury() {
			c.log.note("%s has ended itself", name)
			add(deed{time.Since(began) + restartTime, "start " + name, func() { c.Start(name) }})
		}
		c.operator.look()
		if d := agenda[0]; d.at <= time.Since(began) {
			agenda = agenda[1:]
			c.log.complainOf(c.counted())
			c.log.note("%s", d.what)
			d.do()
			continue
		}
		<-tick.C
	}
}

// heal ends all that may still be wrong.
func (c *Cluster) heal(k *sink) {
	c.log.note("heal all")
	c.net.Heal()
	k.setMood(calm)
	for _, name := range c.names {
		c.Resume(name)
	}
	c.Bury()
	for _, name := range c.names {
		c.Start(name)
	}
}
