package cluster

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/control"
	"quorumta/cluster/papers"
	"quorumta/cluster/store"
	"quorumta/cluster/survey"
)

// What Nodes and Status tell.
type (
	// NodeStatus is what this node knows of a member.
	NodeStatus = survey.Node
	// ShardStatus is the state of a shard as this node knows it.
	ShardStatus = survey.Shard
	// ReplicaStatus is one member's replica of a shard as its leader sees it.
	ReplicaStatus = survey.Replica
)

// Nodes are the members as this node knows them, by name.
func (n *Node) Nodes() (nodes []NodeStatus) {
	for _, x := range n.members() {
		o, alive := n.peers.Get(x.Name)
		if x.Name == n.o.Name {
			o.Report, alive = n.report(), true
		}
		nodes = append(nodes, survey.OfNode(x, o.Report, alive))
	}
	return nodes
}

// members are those of the map; before there is one, those of the options.
func (n *Node) members() []control.Member {
	if c := n.atlas.Now(); len(c.Members) > 0 {
		return c.Members
	}
	var all []control.Member
	for _, name := range slices.Sorted(maps.Keys(n.o.Members)) {
		all = append(all, control.Member{Name: name, Address: n.o.Members[name]})
	}
	return all
}

// Status is the state of every shard as this node knows it, ascending. Where it
// has no replica it tells what the leader said.
func (n *Node) Status() []ShardStatus {
	var shards []ShardStatus
	for _, id := range n.Shards() {
		shards = append(shards, n.statusOf(id))
	}
	return shards
}

// ControlStatus is the state of the control group, as a shard of id 0.
func (n *Node) ControlStatus() ShardStatus { return n.statusOf(0) }

func (n *Node) statusOf(shard ShardID) ShardStatus {
	_, at := n.peers.Leader(shard)
	seen := survey.Reported(n.Leader(shard), at)
	if n.papers.Stage(shard) == papers.Damaged {
		seen.Stopped = cmp.Or(n.store.Damaged(shard), store.ErrDamaged).Error()
	}
	if r, open := n.desk.Get(shard); open {
		s := r.Status()
		seen.Term, seen.Commit, seen.Applied, seen.Stopped = s.Term, s.Commit, s.Applied, s.Stopped
		seen.Voters, seen.Others = strs(s.Voters), strs(s.Nonvoters)
		seen.Contacts = func(id string) time.Time { return s.Contacts[raft.ServerID(id)] }
	}
	seen.AppliedOn = func(name string) uint64 {
		if name == n.o.Name {
			return seen.Applied
		}
		o, _ := n.peers.Get(name)
		return o.Report.Shards[shard].Applied
	}
	s, _ := n.atlas.Now().Shard(shard)
	return survey.OfShard(shard, s, seen)
}

func strs(ids []raft.ServerID) []string {
	var all []string
	for _, id := range ids {
		all = append(all, string(id))
	}
	return all
}
