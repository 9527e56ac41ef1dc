package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"quorumta/cluster/atlas"
	"quorumta/cluster/control"
	"quorumta/cluster/papers"
	"quorumta/cluster/peers"
	"quorumta/cluster/reconcile"
)

// closeEnough is how many entries a replica may be behind to get a vote.
const closeEnough = 1024

// reconcile moves the configurations of the groups led here towards the map,
// until ctx ends.
func (n *Node) reconcile(ctx context.Context) {
	reconcile.Run(ctx, reconcile.Options{
		Groups: func() (ids []ShardID) {
			for _, r := range n.desk.All() {
				ids = append(ids, r.shard)
			}
			return ids
		},
		Next:   n.nextStep,
		Change: n.change,
		Log:    n.o.Log,
	})
}

// nextStep is what is to be changed of a group, if this node holds its office.
func (n *Node) nextStep(shard ShardID) reconcile.Step {
	c := n.atlas.Now()
	r, open := n.desk.Get(shard)
	if !open {
		return reconcile.Step{}
	}
	s, ok := c.Shard(r.shard)
	if _, holds := r.Term(); !holds || !ok || c.Version == 0 || n.mover.Draining() {
		return reconcile.Step{}
	}
	servers, index, settled := r.Configuration()
	if !settled {
		return reconcile.Step{}
	}
	var now []reconcile.Server
	for _, server := range servers {
		now = append(now, reconcile.Server{ID: string(server.ID), Voter: server.Suffrage == raft.Voter})
	}
	commit := r.Status().Commit
	// told is what the replica's node says of it, if it is alive and still has it.
	told := func(id string) (peers.Replica, bool) {
		name := control.NameOf(id)
		o, alive := n.peers.Get(name)
		at := o.Report.Shards[r.shard]
		return at, alive && id == name+"/"+o.Report.Incarnation
	}
	return reconcile.Next(now, s.Replicas, reconcile.Facts{
		Self: n.papers.RaftID(),
		Live: func(id string) bool {
			at, ok := told(id)
			return ok && !at.Stopped
		},
		Lost: func(id string) bool {
			at, ok := told(id)
			return ok && at.Lost
		},
		CaughtUp: func(id string) bool {
			at, ok := told(id)
			// What was said before the configuration came to the replica may be of
			// one that it has deleted since.
			return ok && !at.Stopped && !at.Blank && at.Applied >= index && at.Applied+closeEnough >= commit
		},
	})
}

// change makes one change.
func (n *Node) change(ctx context.Context, shard ShardID, step reconcile.Step) error {
	r, err := n.group(shard)
	if err != nil {
		return err
	}
	id := raft.ServerID(step.ID)
	switch step.Action {
	case reconcile.AddNonvoter:
		return r.AddNonvoter(ctx, id)
	case reconcile.AddVoter:
		return r.AddVoter(ctx, id)
	case reconcile.Remove:
		return r.RemoveServer(ctx, id)
	case reconcile.Transfer:
		return n.mover.Move(ctx, r.shard, nameOf(id))
	}
	return fmt.Errorf("no such action: %d", step.Action)
}

// reportOf is what this node tells about a replica.
func (n *Node) reportOf(r *replica, c *atlas.Chart) peers.Replica {
	s := r.Status()
	at := peers.Replica{
		Term:    s.Term,
		Commit:  s.Commit,
		Applied: s.Applied,
		Leads:   s.Leads,
		Stopped: s.Stopped != "",
		Poison:  s.Poison,
		Blank:   n.papers.Stage(r.shard) == papers.Blank,
	}
	shard, _ := c.Shard(r.shard)
	if shard.Sealed == r.sealed {
		at.Sealed = r.sealed
	}
	if _, holds := r.Term(); !holds {
		return at
	}
	servers, _, settled := r.Configuration()
	at.Office = &peers.Office{Settled: settled}
	for _, server := range servers {
		if server.Suffrage == raft.Voter {
			at.Office.Voters = append(at.Office.Voters, string(server.ID))
		} else {
			at.Office.Others = append(at.Office.Others, string(server.ID))
		}
	}
	if e, can := r.machine.(Emptier); can && shard.Retiring {
		ended := at.Sealed != 0 && n.allSealed(at.Office, shard)
		v := r.View()
		at.Office.Empty = e.Empty(v)
		v.Close()
		if _, still := r.Term(); ended && still && at.Office.Empty {
			at.Office.Ended = shard.Sealed
		}
	}
	return at
}

// allSealed reports whether all others that replicate the shard, or are to, have
// said that it is sealed.
func (n *Node) allSealed(o *peers.Office, s control.Shard) bool {
	for _, id := range slices.Concat(o.Voters, o.Others, s.Replicas) {
		name := control.NameOf(id)
		said, alive := n.peers.Get(name)
		if id != n.papers.RaftID() && (!alive || id != name+"/"+said.Report.Incarnation || said.Report.Shards[s.ID].Sealed != s.Sealed) {
			return false
		}
	}
	return true
}
