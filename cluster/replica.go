package cluster

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"quorumta/cluster/control"
	"quorumta/cluster/digest"
	"quorumta/cluster/group"
	"quorumta/cluster/papers"
	"quorumta/cluster/store"
)

// replica is this node's part in a group, from its opening until it is closed.
type replica struct {
	*group.Group
	shard   ShardID
	machine Machine
}

// Shard implements desk.Replica.
func (r *replica) Shard() uint16 { return r.shard }

// openGroup opens the replica that the map gives to this node.
func (n *Node) openGroup(s control.Shard) error {
	spec, err := n.prepareGroup(s)
	if err != nil {
		return err
	}
	return n.host(spec)
}

// prepareGroup opens the stores of a replica, and writes the shard's first
// configuration where that is this node's to do.
func (n *Node) prepareGroup(s control.Shard) (spec group.Options, err error) {
	stage, err := n.stageOf(s)
	if err != nil {
		return spec, err
	}
	spec, err = n.openStores(s.ID)
	if errors.Is(err, store.ErrDamaged) && stage == papers.Held {
		n.o.Log.Error("a replica is damaged; it is made anew from the others", "shard", s.ID, "err", err)
		return spec, errors.Join(err, n.papers.Set(papers.Damaged, s.ID))
	}
	if err != nil {
		return spec, fmt.Errorf("open shard %d: %w", s.ID, err)
	}
	if stage != papers.Founding {
		return spec, nil
	}
	var servers []raft.Server
	for _, id := range s.Founders {
		servers = append(servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	if err := group.Bootstrap(spec, servers); err != nil {
		return spec, err
	}
	return spec, n.papers.Set(papers.Held, s.ID)
}

// host makes the group of stores that are open.
func (n *Node) host(spec group.Options) error {
	if spec.Shard == 0 {
		spec.Machine = &chronicle{node: n}
	} else {
		spec.Machine = n.machine(spec.Shard)
	}
	g, err := group.New(spec)
	if err != nil {
		return fmt.Errorf("make the metrics of shard %d: %w", spec.Shard, err)
	}
	if n.papers.Stage(spec.Shard) == papers.Wrong {
		g.Stop(digest.ErrWrong)
	}
	n.desk.Add(&replica{g, spec.Shard, spec.Machine})
	return nil
}

// openStores opens what the node has of a shard.
func (n *Node) openStores(shard ShardID) (spec group.Options, err error) {
	spec = group.Options{
		Shard:         shard,
		Self:          raft.ServerID(n.papers.RaftID()),
		Flush:         n.store.FlushState,
		Failed:        n.err,
		Joining:       func() bool { return n.papers.Stage(shard) == papers.Blank },
		Joined:        func() error { return n.papers.Set(papers.Held, shard) },
		Connect:       func(lost func(string)) raft.StreamLayer { return n.port.Open(shard, lost) },
		Peers:         standings{n},
		Heartbeat:     n.o.Heartbeat,
		TrailingBytes: n.o.TrailingBytes,
		SnapshotBytes: n.o.SnapshotBytes,
		Excused:       n.mostAreSlow,
		Passive:       n.mover.Draining,
		Skip:          func(index uint64) bool { return n.atlas.Now().Skipped(shard, index) },
		Poison:        group.KeepPoison(n.o.FS, n.o.FS.PathJoin(n.o.Dir, "poison")),
		Log:           n.o.Log,
		Meter:         n.o.Meter,
	}
	if spec.Entries, err = n.store.Log(shard); err != nil {
		return spec, err
	}
	if spec.State, err = n.store.State(shard, n.papers.Cluster()); err != nil {
		return spec, err
	}
	if spec.Snapshots, err = n.store.Snapshots(shard, spec.State); err != nil {
		return spec, err
	}
	spec.Mark, err = n.store.Mark(shard)
	return spec, err
}

// dropGroup closes a replica for good and deletes its data.
func (n *Node) dropGroup(shard ShardID) error {
	if err := n.papers.Set(papers.Dropping, shard); err != nil {
		return err
	}
	if r, open := n.desk.Remove(shard); open {
		if c, ok := r.machine.(Closer); ok {
			c.Close()
		}
	}
	if err := n.store.Drop(shard); err != nil {
		return err
	}
	n.o.Log.Info("the replica has been deleted: the shard does without it", "shard", shard)
	return n.papers.Set(papers.Gone, shard)
}

// openAll opens the stores of what the node has had before, and of what the
// first map gives it. What was being deleted is deleted.
func (n *Node) openAll() error {
	c := n.atlas.Now()
	ids := n.papers.Replicas()
	if n.papers.Fresh() {
		for _, s := range c.Groups() {
			if slices.Contains(s.Replicas, n.papers.RaftID()) {
				ids = append(ids, s.ID)
			}
		}
	}
	for _, id := range ids {
		if n.papers.Stage(id) == papers.Dropping {
			if err := errors.Join(n.store.Drop(id), n.papers.Set(papers.Gone, id)); err != nil {
				return err
			}
			continue
		}
		s, ok := c.Shard(id)
		if !ok {
			s.ID = id // the papers know it, and the map does not
		}
		spec, err := n.prepareGroup(s)
		if n.papers.Stage(id) == papers.Damaged {
			continue // the other shards are not concerned
		}
		if err != nil {
			return err
		}
		n.ready = append(n.ready, spec)
	}
	return nil
}
