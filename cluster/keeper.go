package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/atlas"
	"quorumta/cluster/book"
	"quorumta/cluster/control"
	"quorumta/cluster/council"
	"quorumta/cluster/papers"
)

const (
	keepInterval = time.Second
	// openPause is how long a shard that cannot be opened is left alone.
	openPause = 30 * time.Second

	methodReleased  = "cluster.released"
	releaseTimeout  = time.Second
	announceTimeout = 5 * time.Second
)

// keeper brings this node to what the map says of it. It belongs to one
// goroutine.
type keeper struct {
	*Node
	acted   *atlas.Chart // what was acted on last
	book    book.Book
	waiting map[ShardID]time.Time // shards that cannot be opened, until when not tried
	// A place for who tells the control group of this node, and the wait for it.
	telling chan struct{}
	tellers sync.WaitGroup
}

// keep acts on the newest map until ctx ends.
func (n *Node) keep(ctx context.Context) {
	k := &keeper{
		Node:    n,
		acted:   &atlas.Chart{},
		book:    book.Book{Self: n.papers.RaftID(), Seeds: n.o.Members, Alive: n.answers},
		waiting: map[ShardID]time.Time{},
		telling: make(chan struct{}, 1),
	}
	defer k.tellers.Wait()
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
		k.open(c)
		k.skip(c)
		k.release(ctx, c)
		k.announce(ctx, c)
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
	if err := k.papers.KeepMap(m.Encode()); err != nil {
		k.fatal(err)
		return
	}
	k.atlas.Begin(m)
}

// skip lets replicas go on that have stopped at an entry which is skipped now,
// maybe before they knew.
func (k *keeper) skip(c *atlas.Chart) {
	for _, h := range k.desk.All() {
		if poison := h.Status().Poison; poison != 0 && c.Skipped(h.shard, poison) {
			h.Resume()
		}
	}
}

// open opens the replicas that the map gives to this node.
func (k *keeper) open(c *atlas.Chart) {
	for _, s := range c.Groups() {
		_, has := k.desk.Get(s.ID)
		if has || !slices.Contains(s.Replicas, k.papers.RaftID()) || k.papers.Stage(s.ID) == papers.Damaged || time.Now().Before(k.waiting[s.ID]) {
			continue
		}
		if err := k.openGroup(s); err != nil {
			k.o.Log.Error("cannot open a replica", "shard", s.ID, "err", err)
			k.waiting[s.ID] = time.Now().Add(openPause)
		}
	}
}

// release deletes replicas that went elsewhere or are damaged: where the shard
// is gone, or its leader says that they are no part of it any more.
func (k *keeper) release(ctx context.Context, c *atlas.Chart) {
	if c.Version == 0 {
		return
	}
	for _, id := range k.papers.Replicas() {
		s, exists := c.Shard(id)
		lost := k.papers.Stage(id) == papers.Damaged
		if slices.Contains(s.Replicas, k.papers.RaftID()) && !lost {
			continue
		}
		if !exists && id < c.Next || exists && k.released(ctx, releaseRequest{id, k.papers.RaftID(), c.Version, lost}) {
			if err := k.dropGroup(id); err != nil {
				k.o.Log.Error("cannot delete a replica", "shard", id, "err", err)
			}
		}
	}
}

// releaseRequest asks a shard's leader whether a replica is no part of it.
type releaseRequest struct {
	Shard ShardID `json:"shard"`
	ID    string  `json:"id"`
	// Map is the version of the map that gives the replica up.
	Map uint64 `json:"map"`
	// Lost: the map does not, and the replica is to be made anew.
	Lost bool `json:"lost"`
}

// released asks whether the shard does without this node.
func (n *Node) released(ctx context.Context, r releaseRequest) bool {
	leader, _ := n.peers.Leader(r.Shard)
	if leader == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	var yes bool
	err := n.ask(ctx, leader, methodReleased, r, &yes)
	return err == nil && yes
}

// releasedHere is released on the shard's leader.
func (n *Node) releasedHere(_ context.Context, r releaseRequest) (bool, error) {
	c := n.atlas.Now()
	s, _ := c.Shard(r.Shard)
	if c.Version < r.Map || (slices.Contains(s.Replicas, r.ID) && !r.Lost) {
		return false, nil
	}
	h, err := n.group(r.Shard)
	if err != nil {
		return false, err
	}
	if _, ok := h.Term(); !ok {
		return false, ErrNotLeader
	}
	servers, _, settled := h.Configuration()
	has := slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.ID) == r.ID })
	_, still := h.Term()
	return settled && still && !has, nil
}

// announce tells the control group what has changed of this node since it was
// told last.
func (k *keeper) announce(ctx context.Context, c *atlas.Chart) {
	x, ok := c.Member(k.o.Name)
	own := k.member()
	if c.Version == 0 || !ok || x.RaftID() != own.RaftID() ||
		(x.Address == own.Address && x.Version == own.Version && x.Level == own.Level) {
		return
	}
	select {
	case k.telling <- struct{}{}:
	default:
		return // it is being told
	}
	k.tellers.Go(func() {
		defer func() { <-k.telling }()
		ctx, cancel := context.WithTimeout(ctx, announceTimeout)
		defer cancel()
		if err := k.council.Order(ctx, council.Order{Act: council.Announce, Member: own}); err != nil && ctx.Err() == nil {
			k.o.Log.Warn("the cluster does not take what this node says of itself", "err", err)
		}
	})
}

// member is this node as a member.
func (n *Node) member() control.Member {
	return control.Member{
		Name: n.o.Name, Incarnation: n.papers.Incarnation(), Address: n.o.Members[n.o.Name], Version: n.o.Version, Level: n.o.Level,
	}
}

// stageOf is what the papers say of the shard after the map gave it to this
// node.
func (n *Node) stageOf(s control.Shard) (papers.Stage, error) {
	stage := n.papers.Stage(s.ID)
	switch {
	case stage == papers.None && slices.Contains(s.Founders, n.papers.RaftID()):
		stage = papers.Founding
	case stage == papers.None || stage == papers.Gone:
		stage = papers.Blank
	case stage == papers.Dropping:
		return stage, fmt.Errorf("what the node had of shard %d before is still to be deleted", s.ID)
	}
	return stage, n.papers.Set(stage, s.ID)
}
