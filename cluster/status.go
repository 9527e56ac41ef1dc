package cluster

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/control"
	"quorumta/cluster/papers"
	"quorumta/cluster/store"
)

// NodeStatus is what this node knows of a member.
type NodeStatus struct {
	Name    string
	Address string
	// Alive: it answered a call within the last two seconds.
	Alive bool
	// Boot is drawn when the process starts; 0 while it never answered.
	Boot uint64
	// Version is the program's, as the member reported it.
	Version string
	// Free is the free space of its data directory's disk, bytes.
	Free uint64
	// Leads are the shards it leads, as far as known.
	Leads []ShardID
	// Draining: it hands its leads away and takes none.
	Draining bool
	// Leaving: its replicas move to others, and then it is no member any more.
	Leaving bool
	// Level is the newest event level that its program knows.
	Level int
}

// ReplicaStatus is one member's replica of a shard as its leader sees it.
type ReplicaStatus struct {
	Node string
	// Incarnation tells the node from one of its name that lost its data.
	Incarnation string
	Applied     uint64
	Voter       bool
	// Contact is when it last answered the leader; zero if never.
	Contact time.Time
}

// ShardStatus is the state of a shard as this node knows it.
type ShardStatus struct {
	ID       ShardID
	Leader   string // "" while there is none
	Term     uint64
	Commit   uint64
	Applied  uint64
	Replicas []ReplicaStatus
	// Retiring: it takes no new mail, and goes when it holds nothing.
	Retiring bool
	// Stopped says why this node's replica stopped; "" while it runs.
	Stopped string
}

// Nodes are the members as this node knows them, by name.
func (n *Node) Nodes() []NodeStatus {
	var nodes []NodeStatus
	for _, x := range n.members() {
		o, alive := n.peers.Get(x.Name)
		r := o.Report
		if x.Name == n.o.Name {
			r, alive = n.report(), true
		}
		status := NodeStatus{
			Name:     x.Name,
			Address:  x.Address,
			Alive:    alive,
			Boot:     r.Boot,
			Version:  cmp.Or(r.Version, x.Version),
			Level:    max(r.Level, x.Level),
			Free:     r.Free,
			Leads:    r.Leads(),
			Draining: r.Draining,
			Leaving:  x.Leaving,
		}
		nodes = append(nodes, status)
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
	s, _ := n.atlas.Now().Shard(shard)
	status := ShardStatus{ID: shard, Leader: n.Leader(shard), Retiring: s.Retiring}
	_, at := n.peers.Leader(shard)
	status.Term, status.Commit, status.Applied = at.Term, at.Commit, at.Applied
	var voters, others []string
	if at.Office != nil {
		voters, others = at.Office.Voters, at.Office.Others
	}
	var contacts map[raft.ServerID]time.Time
	if n.papers.Stage(shard) == papers.Damaged {
		status.Stopped = cmp.Or(n.store.Damaged(shard), store.ErrDamaged).Error()
	}
	if r, open := n.desk.Get(shard); open {
		g := r.Status()
		status.Term, status.Commit, status.Applied, status.Stopped = g.Term, g.Commit, g.Applied, g.Stopped
		voters, others, contacts = strs(g.Voters), strs(g.Nonvoters), g.Contacts
	}
	add := func(id string, voter bool) {
		name, incarnation, _ := strings.Cut(id, "/")
		r := ReplicaStatus{Node: name, Incarnation: incarnation, Applied: status.Applied, Voter: voter, Contact: contacts[raft.ServerID(id)]}
		if r.Node != n.o.Name {
			o, _ := n.peers.Get(r.Node)
			r.Applied = o.Report.Shards[shard].Applied
		}
		status.Replicas = append(status.Replicas, r)
	}
	for _, id := range voters {
		add(id, true)
	}
	for _, id := range others {
		add(id, false)
	}
	slices.SortFunc(status.Replicas, func(a, b ReplicaStatus) int { return strings.Compare(a.Node, b.Node) })
	return status
}

func strs(ids []raft.ServerID) []string {
	var all []string
	for _, id := range ids {
		all = append(all, string(id))
	}
	return all
}
