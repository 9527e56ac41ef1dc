package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"quorumta/cluster/atlas"
	"quorumta/cluster/book"
	"quorumta/cluster/control"
	"quorumta/cluster/council"
	"quorumta/cluster/upkeep"
)

const keepInterval = time.Second

// keeper brings this node to what the map says of it. It belongs to one
// goroutine.
type keeper struct {
	*Node
	acted     *atlas.Chart // what was kept and acted on last
	book      book.Book
	upkeep    *upkeep.Upkeep
	announcer *council.Announcer
	farewell  farewell
}

// keep acts on the newest map until ctx ends.
func (n *Node) keep(ctx context.Context) {
	k := &keeper{
		Node:      n,
		acted:     &atlas.Chart{},
		book:      book.Book{Self: n.papers.RaftID(), Seeds: n.o.Members, Alive: n.answers},
		upkeep:    n.newUpkeep(),
		announcer: n.council.NewAnnouncer(n.member()),
	}
	defer k.announcer.Wait()
	defer k.farewell.running.Wait()
	n.atlas.Offer(n.controlMap())
	tick := time.NewTicker(keepInterval)
	defer tick.Stop()
	for {
		c := n.atlas.Now()
		if c != k.acted && !k.turnTo(c) {
			return
		}
		k.meet(c)
		k.inherit(c)
		k.upkeep.Act(ctx, k.acted.Map)
		k.announcer.Look(ctx, k.acted.Map)
		k.farewell.look(ctx, k)
		select {
		case <-tick.C:
		case <-n.atlas.News():
		case <-ctx.Done():
			return
		}
	}
}

// turnTo acts on a map that is new. It reports whether the node goes on.
func (k *keeper) turnTo(c *atlas.Chart) bool {
	old := k.acted
	k.acted = c
	var err error
	if c.Version > 0 {
		err = k.papers.KeepMap(c.Encode())
	}
	current := c.Current(k.papers.RaftID())
	if current {
		err = errors.Join(err, k.papers.Admit())
	}
	if err != nil {
		k.fatal(err)
		return false
	}
	if !current && c.Version > 0 && k.papers.Admitted() {
		k.resign(c)
		return false
	}
	if err := k.tooOld(c.Map); err != nil {
		k.end(err)
		return false
	}
	k.book.Turn(old.Map, c.Map, time.Now())
	return true
}

// resign ends a node that is no member any more.
func (k *keeper) resign(c *atlas.Chart) {
	if x, replaced := c.Member(k.o.Name); replaced {
		k.end(fmt.Errorf("%w: incarnation %s of %s has replaced incarnation %s, whose data is in %s and of no use any more: "+
			"start the node that replaced it, or empty the directory and join as new: quorumta cluster join --config FILE",
			ErrRemoved, x.Incarnation, k.o.Name, k.papers.Incarnation(), k.o.Dir))
		return
	}
	k.end(fmt.Errorf("%w: %s has left the cluster, and %s is not needed any more", ErrRemoved, k.o.Name, k.o.Dir))
}

// meet tells the port and the peers who the others are, and where.
func (k *keeper) meet(c *atlas.Chart) {
	all, changed := k.book.Addresses(c.Map, time.Now())
	if !changed {
		return
	}
	k.port.SetMembers(all)
	k.peers.Set(slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool { return name == k.o.Name }))
}

// answers reports whether the member has answered lately.
func (n *Node) answers(name string) bool {
	_, alive := n.peers.Get(name)
	return alive
}

// inherit draws the first map of a cluster that had none in older versions: all
// members replicated all shards, and each finds the same in its own replicas.
func (k *keeper) inherit(c *atlas.Chart) {
	held := slices.DeleteFunc(k.papers.Replicas(), func(shard ShardID) bool { return shard == 0 })
	if len(c.Members) > 0 || len(held) == 0 || !k.papers.Old() {
		return
	}
	r, open := k.desk.Get(held[0])
	if !open {
		return
	}
	var members []control.Member
	servers, _, _ := r.Configuration()
	for _, s := range servers {
		name, incarnation, _ := strings.Cut(string(s.ID), "/")
		members = append(members, control.Member{Name: name, Incarnation: incarnation, Address: k.o.Members[name]})
	}
	if len(members) == 0 {
		return
	}
	m := control.Found(members, k.o.Replication, len(held))
	m.WantShards = k.o.Shards
	m.Level = min(1, k.o.Level) // what the older versions wrote
	if err := k.papers.KeepMap(m.Encode()); err != nil {
		k.fatal(err)
		return
	}
	k.atlas.Begin(m)
}

// member is this node as a member.
func (n *Node) member() control.Member {
	return control.Member{
		Name: n.o.Name, Incarnation: n.papers.Incarnation(), Address: n.o.Members[n.o.Name], Version: n.o.Version, Level: n.o.Level,
	}
}
