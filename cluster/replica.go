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
	"quorumta/cluster/upkeep"
)

// replica is this node's part in a group, from its opening until it is closed.
type replica struct {
	*group.Group
	shard   ShardID
	machine Machine
	sealed  uint64 // the version of the map that had sealed the shard
}

var _ upkeep.Replica = (*replica)(nil)

// Shard implements desk.Replica and upkeep.Replica.
func (r *replica) Shard() uint16 { return r.shard }

// Sealed implements upkeep.Replica.
func (r *replica) Sealed() uint64 { return r.sealed }

// Stopped implements upkeep.Replica.
func (r *replica) Stopped() (poison uint64, why error) { return r.Status().Poison, r.Err() }

// openGroup opens the replica that the map gives to this node.
func (n *Node) openGroup(s control.Shard) error {
	spec, err := n.prepareGroup(s)
	if err != nil {
		return err
	}
	return n.host(spec, s.Sealed)
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

// host makes the group of stores that are open, under the seal of the shard.
// The machine is that of the shard's last opening, if it was opened before.
func (n *Node) host(spec group.Options, sealed uint64) error {
	machine := n.machines[spec.Shard]
	switch {
	case machine != nil:
	case spec.Shard == 0:
		machine = &chronicle{node: n}
	default:
		machine = n.machine(spec.Shard)
	}
	n.machines[spec.Shard], spec.Machine = machine, machine
	g, err := group.New(spec)
	if err != nil {
		return fmt.Errorf("make the metrics of shard %d: %w", spec.Shard, err)
	}
	if n.papers.Stage(spec.Shard) == papers.Wrong {
		g.Stop(digest.ErrWrong)
	}
	n.desk.Add(&replica{g, spec.Shard, machine, sealed})
	return nil
}

// newUpkeep is what opens, closes and deletes replicas while the node runs.
func (n *Node) newUpkeep() *upkeep.Upkeep {
	return upkeep.New(upkeep.Options{
		Self:   n.papers.RaftID(),
		Papers: n.papers,
		Replicas: func() (all []upkeep.Replica) {
			for _, r := range n.desk.All() {
				all = append(all, r)
			}
			return all
		},
		Has: func(shard uint16) bool {
			_, open := n.desk.Get(shard)
			return open
		},
		Open: n.openGroup,
		Close: func(shard uint16) bool {
			_, open := n.desk.Remove(shard)
			return open
		},
		Drop: func(shard uint16) error {
			if c, ok := n.machines[shard].(Closer); ok {
				c.Close()
			}
			delete(n.machines, shard)
			return n.store.Drop(shard)
		},
		Released: n.released,
		Log:      n.o.Log,
	})
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
