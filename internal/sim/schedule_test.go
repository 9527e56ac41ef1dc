package sim_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"quorumta/cluster"
)

// fault is one thing that goes wrong for a while.
type fault struct {
	at, lasts time.Duration
	name      string
	begin     func(c *Cluster, s *sink) (end func())
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

// draw draws a schedule for so many nodes and so long a time.
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

func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return (least + time.Duration(r.Int64N(int64(most-least)))).Truncate(time.Millisecond)
}

// drawFault draws what goes wrong.
func drawFault(r *rand.Rand, nodes int) fault {
	name := func() string { return fmt.Sprintf("n%d", 1+r.IntN(nodes)) }
	two := func() (string, string) {
		a := r.IntN(nodes)
		return fmt.Sprintf("n%d", 1+a), fmt.Sprintf("n%d", 1+(a+1+r.IntN(nodes-1))%nodes)
	}
	shard := cluster.ShardID(1 + r.IntN(nodes))
	kept := []int{0, 0, 30, 70}[r.IntN(4)]
	switch n := r.IntN(22); n {
	case 0, 1:
		a, b := two()
		return fault{name: "cut " + a + " from " + b, begin: func(c *Cluster, _ *sink) func() {
			c.net.Cut(a, b)
			return c.net.Heal
		}}
	case 2, 3:
		a, b := two()
		return fault{name: "cut one way from " + a + " to " + b, begin: func(c *Cluster, _ *sink) func() {
			c.net.CutOneWay(a, b)
			return c.net.Heal
		}}
	case 4, 5:
		return isolate(name(), []string{"out", "in", "both"}[r.IntN(3)])
	case 6, 7, 8:
		f := stop(fmt.Sprintf("pause the leader of shard %d", shard), shard, (*Cluster).Pause, (*Cluster).Resume)
		f.lasts = between(r, 500*time.Millisecond, 9*time.Second)
		return f
	case 9:
		f := stop(fmt.Sprintf("hang the disk of the leader of shard %d", shard), shard,
			func(c *Cluster, name string) { c.machines[name].disk.Hang() },
			func(c *Cluster, name string) { c.machines[name].disk.Resume() })
		f.lasts = between(r, time.Second, 20*time.Second)
		return f
	case 10, 11, 12:
		return stop(fmt.Sprintf("kill the leader of shard %d", shard), shard, (*Cluster).Crash, (*Cluster).Start)
	case 13, 14:
		return stop(fmt.Sprintf("power lost on the leader of shard %d, %d %% kept", shard, kept), shard,
			func(c *Cluster, name string) { c.PowerLoss(name, kept) }, (*Cluster).Start)
	case 15, 16:
		return outage(fmt.Sprintf("power lost everywhere, %d %% kept", kept), kept, 0)
	case 17:
		return outage(fmt.Sprintf("power lost on a majority, %d %% kept", kept), kept, (nodes-1)/2)
	case 18:
		a := name()
		return fault{name: "restart " + a + " in good order", begin: func(c *Cluster, _ *sink) func() {
			c.Stop(a)
			return func() { c.Start(a) }
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

// isolate cuts a node off from all others, sinks included.
func isolate(name, way string) fault {
	return fault{name: "cut " + name + " off, " + way, begin: func(c *Cluster, _ *sink) func() {
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

// stop does something to whoever leads the shard then.
func stop(what string, shard cluster.ShardID, begin, end func(*Cluster, string)) fault {
	return fault{name: what, begin: func(c *Cluster, _ *sink) func() {
		name := c.Leader(shard)
		c.log.note("it is %s", name)
		begin(c, name)
		return func() { end(c, name) }
	}}
}

// outage cuts the power of all but some.
func outage(what string, kept, spared int) fault {
	return fault{name: what, begin: func(c *Cluster, _ *sink) func() {
		for _, name := range c.names[spared:] {
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
