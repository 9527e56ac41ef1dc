package sim_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"quorumta/cluster"
	"quorumta/cluster/control"
	"quorumta/internal/sim"
)

// mostMembers is how large the operator lets the cluster grow.
const mostMembers = 5

// operator changes the cluster, one change after the other, and repeats what is
// refused: whatever goes wrong meanwhile goes on. It belongs to the Cluster's
// owner, who has it look at its work every now and then.
type operator struct {
	cluster *Cluster
	random  *rand.Rand
	named   int    // nodes so far: a name is not used again but for a wiped node
	joined  int    // nodes that have joined so far
	change  string // what is under way
	steps   []step // what is left of it
}

// step is a part of a change: it is called every now and then until it returns
// true, and waits for nothing.
type step func() (done bool)

// begin begins a change, if none is under way.
func (o *operator) begin(what string, steps ...step) {
	if o.busy() {
		o.cluster.log.note("not %s: the operator is at it still to %s", what, o.change)
		return
	}
	o.cluster.log.note("change: %s", what)
	// One change waits for what the one before has led to: a second disk must
	// not be lost before the first one's replicas are elsewhere.
	o.change, o.steps = what, slices.Concat([]step{o.rest()}, steps)
}

func (o *operator) busy() bool { return len(o.steps) > 0 }

// look does what can be done now.
func (o *operator) look() {
	for o.busy() && o.steps[0]() {
		if o.steps = o.steps[1:]; !o.busy() {
			o.cluster.log.note("changed: %s", o.change)
		}
	}
}

// do is a step that is done at once.
func do(f func()) step { return func() bool { f(); return true } }

// rest waits until every replica has been where it should be for a while.
func (o *operator) rest() step {
	const while, interval = 3 * time.Second, 500 * time.Millisecond
	var since, next time.Time
	return func() bool {
		now := time.Now()
		if now.Before(next) {
			return false
		}
		next = now.Add(interval)
		if o.cluster.placed() != nil {
			since = time.Time{}
			return false
		}
		if since.IsZero() {
			since = now
		}
		return now.Sub(since) >= while
	}
}

// order has a member, but not the excepted, carry out an order: whoever is asked
// next, if one cannot.
func (o *operator) order(except string, f func(ctx context.Context, node *cluster.Node) error) step {
	const timeout, pause = 15 * time.Second, time.Second
	var answer chan error
	var next time.Time
	return func() bool {
		select {
		case err := <-answer: // nil while nobody is asked
			if err == nil {
				return true
			}
			o.cluster.log.note("to %s: %v", o.change, err)
			answer, next = nil, time.Now().Add(pause)
		default:
		}
		if answer != nil || time.Now().Before(next) {
			return false
		}
		p := o.anyone(except)
		if p == nil || !p.door.enter() {
			return false
		}
		asked := make(chan error, 1)
		answer = asked
		go func() {
			defer p.door.inside.Done()
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			asked <- f(ctx, p.node)
		}()
		return false
	}
}

// anyone is a process of any member but one; nil if there is none.
func (o *operator) anyone(except string) *process {
	var all []*process
	for _, name := range o.cluster.names {
		if p := o.cluster.process(name); p != nil && name != except {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[o.random.IntN(len(all))]
}

// join has a node join, with an empty disk.
func (o *operator) join(name string) []step {
	var m *machine
	return []step{
		func() bool {
			now := o.cluster.newest()
			if len(now.Members) == 0 {
				return false // nobody runs who could say who the others are
			}
			o.joined++
			m = o.cluster.enroll(name, fmt.Sprintf("j%d", o.joined), now.Addresses())
			return true
		},
		o.order(name, func(ctx context.Context, node *cluster.Node) error {
			return node.Join(ctx, control.Member{Name: name, Incarnation: m.incarnations[name], Address: m.seeds[name], Version: "sim"})
		}),
		do(func() { m.idle = false; o.cluster.Start(name) }),
	}
}

// newName is a name that no node had.
func (o *operator) newName() string {
	o.named++
	return fmt.Sprintf("n%d", o.named)
}

// leave has a member leave, and waits until it has.
func (o *operator) leave(name string) []step {
	const patience = time.Minute
	var since time.Time
	return []step{
		o.order(name, func(ctx context.Context, node *cluster.Node) error {
			if _, there := node.Map().Member(name); !there {
				return nil // it was heard the last time
			}
			return node.Remove(ctx, name, false)
		}),
		func() bool {
			now := o.cluster.newest()
			_, there := now.Member(name)
			since = time.Now()
			return !there && len(now.Members) > 0
		},
		func() bool { // it ends by itself, if it hears of it
			return o.cluster.process(name) == nil || time.Since(since) > patience
		},
		do(func() { o.cluster.drop(name) }),
	}
}

// grow has a new node join.
func (o *operator) grow() { o.begin("have a node join", o.join(o.newName())...) }

// shrink has a member leave.
func (o *operator) shrink(name string) { o.begin("have "+name+" leave", o.leave(name)...) }

// wipe takes a member's disk away and has it join with an empty one.
func (o *operator) wipe(name string) {
	o.begin("wipe "+name, slices.Concat([]step{o.die(name)}, o.join(name))...)
}

// replace has a member die for good, and another come for it.
func (o *operator) replace(name string) {
	o.begin("replace "+name, slices.Concat([]step{o.die(name)}, o.leave(name), o.join(o.newName()))...)
}

// die ends a node that nobody will start again from this disk.
func (o *operator) die(name string) step {
	return do(func() {
		o.cluster.log.note("%s dies for good", name)
		o.cluster.Crash(name)
		o.cluster.machines[name].idle = true
	})
}

// count sets how many shards take mail; 0 means one per member.
func (o *operator) count(shards int) {
	o.begin(fmt.Sprintf("have %d shards", shards), o.order("", func(ctx context.Context, node *cluster.Node) error { return node.SetShards(ctx, shards) }))
}

// drawChanges draws what the operator does in so long a time.
func drawChanges(r *rand.Rand, lasts time.Duration) schedule {
	var s schedule
	for at := between(r, 4*time.Second, 15*time.Second); at < lasts; at += between(r, 8*time.Second, 25*time.Second) {
		s = append(s, drawChange(r, at))
	}
	return s
}

// drawChange draws a change. Where there are too few members for it, or too
// many, it is another one.
func drawChange(r *rand.Rand, at time.Duration) fault {
	node, shards := r.IntN(mostMembers), r.IntN(3)
	what := []string{"join", "join", "join", "leave", "leave", "wipe", "wipe", "replace", "shards", "shards"}[r.IntN(10)]
	return fault{at: at, name: fmt.Sprintf("change: %s, %s", what, nth(node)), begin: func(c *Cluster, _ *sink) func() {
		o, name, members := c.operator, c.someone(node), len(c.names)
		switch {
		case what == "shards" && c.newest().WantShards > 0:
			o.count(0)
		case what == "shards":
			o.count(max(members-1+shards, 1))
		case what == "leave" && members > 1, what == "join" && members >= mostMembers:
			o.shrink(name)
		case what == "wipe" && members >= 3:
			o.wipe(name)
		case what == "replace" && members >= 3:
			o.replace(name)
		case members < mostMembers:
			o.grow()
		}
		return nil
	}}
}

// enroll makes a machine that is to join the others under the name; it is not
// started before it may.
func (c *Cluster) enroll(name, incarnation string, others map[string]string) *machine {
	m := &machine{name: name, joined: true, idle: true, disk: sim.NewDisk(), incarnations: map[string]string{name: incarnation}}
	m.seeds = maps.Clone(others)
	m.seeds[name] = name + ":7900"
	c.log.note("%s is to join as %s", name, incarnation)
	c.net.Resume(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.machines[name] = m
	if !slices.Contains(c.names, name) {
		c.names = append(slices.Clone(c.names), name)
	}
	return m
}

// drop forgets a machine that is not needed any more.
func (c *Cluster) drop(name string) {
	if c.process(name) != nil {
		c.log.note("%s has not heard that it has left, and is switched off", name)
		c.Crash(name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.machines, name)
	c.names = slices.DeleteFunc(slices.Clone(c.names), func(n string) bool { return n == name })
}

// newest is the newest map that a node has; it is empty while none runs.
func (c *Cluster) newest() (m control.Map) {
	for _, name := range c.names {
		if p := c.process(name); p != nil {
			if other := p.node.Map(); other.Version > m.Version || len(m.Members) == 0 {
				m = other
			}
		}
	}
	return m
}

// placed says what keeps the cluster from being as its map is: all that run have
// the map, and on each group's leader all replicas are voters, of the members'
// present incarnations, and as many as there should be.
func (c *Cluster) placed() error {
	m := c.newest()
	want := cmp.Or(m.WantShards, len(m.Members))
	if got := len(slices.DeleteFunc(slices.Clone(m.Shards), func(s control.Shard) bool { return s.Retiring })); got != want {
		return fmt.Errorf("%d shards take mail instead of %d", got, want)
	}
	led := map[control.ShardID]cluster.ShardStatus{}
	for _, name := range c.names {
		p := c.process(name)
		if p == nil {
			continue
		}
		if has := p.node.Map().Version; has != m.Version {
			return fmt.Errorf("%s has map %d, and the newest is %d", name, has, m.Version)
		}
		for _, s := range append(p.node.Status(), p.node.ControlStatus()) {
			if _, holds := p.node.Term(s.ID); holds {
				led[s.ID] = s
			}
		}
	}
	for _, s := range m.Groups() {
		if err := whole(m, s, led[s.ID]); err != nil && s.Sealed == 0 {
			return fmt.Errorf("group %d: %w", s.ID, err)
		}
	}
	return nil
}

// whole says what a group lacks, as its leader sees it.
func whole(m control.Map, s control.Shard, led cluster.ShardStatus) error {
	least := min(3, len(m.Members))
	if least == 2 {
		least = 1 // a second one would only be one more that can fail
	}
	switch {
	case led.Leader == "":
		return errors.New("it has no leader")
	case len(s.Replicas) < least || len(led.Replicas) != len(s.Replicas):
		return fmt.Errorf("it has replicas %+v instead of %v", led.Replicas, s.Replicas)
	}
	for _, r := range led.Replicas {
		x, is := m.Member(r.Node)
		if !is || x.Leaving || x.Incarnation != r.Incarnation || !r.Voter || !slices.Contains(s.Replicas, x.RaftID()) {
			return fmt.Errorf("its replicas are %+v instead of %v of %+v", led.Replicas, s.Replicas, m.Members)
		}
	}
	return nil
}

// finish waits, once nothing is wrong any more, until the operator's change has
// ended and all is where it should be.
func (c *Cluster) finish() {
	const patience = 15 * time.Minute
	for end := time.Now().Add(patience); !c.log.failed(); time.Sleep(500 * time.Millisecond) {
		if names := c.Bury(); len(names) > 0 {
			c.log.complain("%v ended themselves though nothing was wrong any more", names)
			return
		}
		c.operator.look()
		err := c.placed()
		if c.operator.busy() {
			err = fmt.Errorf("it goes on to %s: %w", c.operator.change, cmp.Or(err, errors.New("all is placed")))
		}
		switch {
		case err == nil:
			c.attended()
			return
		case time.Now().After(end):
			c.log.complain("the cluster does not come to rest: %v", err)
			return
		}
	}
}

// attended complains of members that do not run.
func (c *Cluster) attended() {
	for _, name := range c.names {
		if _, is := c.newest().Member(name); !is || c.process(name) == nil {
			c.log.complain("%s is not on the map or does not run", name)
		}
	}
	if members := c.newest().Members; len(members) != len(c.names) {
		c.log.complain("the members are %+v instead of %v", members, c.names)
	}
}
