package cluster

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Office is the leadership of a shard: no two nodes ever hold the same.
type Office struct {
	Shard ShardID
	Term  uint64
	Node  string
}

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
}

// ReplicaStatus is one member's replica of a shard as its leader sees it.
type ReplicaStatus struct {
	Node    string
	Applied uint64
	Voter   bool
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
	// Stopped says why this node's replica stopped; "" while it runs.
	Stopped string
}

// ShardDigest compares the replicas of a shard.
type ShardDigest struct {
	ID       ShardID
	Replicas []ReplicaDigest
}

// ReplicaDigest is the running digest of a replica: Chain is taken after the
// entry Applied. SHA256 is that of the whole state at Applied, only where a
// deep digest was asked for. Error is set for a replica that did not answer.
type ReplicaDigest struct {
	Node    string
	Applied uint64
	Chain   string // hex
	SHA256  string // hex, or ""
	Error   string
}

// Nodes are the members as this node knows them, by name.
func (n *Node) Nodes() []NodeStatus {
	var nodes []NodeStatus
	for _, name := range slices.Sorted(maps.Keys(n.o.Members)) {
		r, alive := n.report(), true
		if name != n.o.Name {
			var o peer
			o, alive = n.peers.get(name)
			r = o.report
		}
		nodes = append(nodes, NodeStatus{
			Name:     name,
			Address:  n.o.Members[name],
			Alive:    alive,
			Boot:     r.Boot,
			Version:  r.Version,
			Free:     r.Free,
			Leads:    leadsOf(r),
			Draining: r.Draining,
		})
	}
	return nodes
}

// Status is the state of every shard as this node knows it, ascending.
func (n *Node) Status() []ShardStatus {
	var shards []ShardStatus
	for i, g := range n.groups {
		s := g.Status()
		status := ShardStatus{
			ID:      ShardID(i + 1),
			Leader:  nameOf(s.Leader),
			Term:    s.Term,
			Commit:  s.Commit,
			Applied: s.Applied,
			Stopped: s.Stopped,
		}
		for _, id := range s.Voters {
			name := nameOf(id)
			r := ReplicaStatus{Node: name, Applied: s.Applied, Voter: true, Contact: s.Contacts[id]}
			if name != n.o.Name {
				o, _ := n.peers.get(name)
				r.Applied = o.report.Shards[status.ID].Applied
			}
			status.Replicas = append(status.Replicas, r)
		}
		slices.SortFunc(status.Replicas, func(a, b ReplicaStatus) int { return strings.Compare(a.Node, b.Node) })
		shards = append(shards, status)
	}
	return shards
}
