// Package survey puts together what a node knows of the members and shards of
// its cluster: from the map, from what the others report, and from its own
// replicas.
package survey

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"quorumta/cluster/control"
	"quorumta/cluster/peers"
)

// Node is what is known of a member.
type Node struct {
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
	Leads []control.ShardID
	// Draining: it hands its leads away and takes none.
	Draining bool
	// Leaving: its replicas move to others, and then it is no member any more.
	Leaving bool
	// Level is the newest event level that its program knows.
	Level int
}

// Replica is one member's replica of a shard as its leader sees it.
type Replica struct {
	Node string
	// Incarnation tells the node from one of its name that lost its data.
	Incarnation string
	Applied     uint64
	Voter       bool
	// Contact is when it last answered the leader; zero if never.
	Contact time.Time
}

// Shard is the state of a shard.
type Shard struct {
	ID       control.ShardID
	Leader   string // "" while there is none
	Term     uint64
	Commit   uint64
	Applied  uint64
	Replicas []Replica
	// Retiring: it takes no new mail, and goes when it holds nothing.
	Retiring bool
	// Stopped says why this node's replica stopped; "" while it runs.
	Stopped string
}

// OfNode is the survey of a member: by the map, and by the last report of it.
func OfNode(x control.Member, r peers.Report, alive bool) Node {
	return Node{
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
}

// Sight is what is to be seen of a shard from where one stands: at its own
// replica, or else in what the leader reported.
type Sight struct {
	Leader                string
	Term, Commit, Applied uint64
	Voters, Others        []string // Raft ids
	// Contacts are when the replicas last answered, where this node leads.
	Contacts func(id string) time.Time
	// Stopped is why the own replica has stopped, or "".
	Stopped string
	// AppliedOn is what the node of that name has applied.
	AppliedOn func(name string) uint64
}

// Reported is the sight of a shard by its leader's report.
func Reported(leader string, at peers.Replica) Sight {
	s := Sight{Leader: leader, Term: at.Term, Commit: at.Commit, Applied: at.Applied}
	if at.Office != nil {
		s.Voters, s.Others = at.Office.Voters, at.Office.Others
	}
	return s
}

// OfShard is the survey of a shard.
func OfShard(id control.ShardID, s control.Shard, seen Sight) Shard {
	all := Shard{
		ID: id, Leader: seen.Leader, Term: seen.Term, Commit: seen.Commit, Applied: seen.Applied,
		Retiring: s.Retiring, Stopped: seen.Stopped,
	}
	for _, id := range slices.Concat(seen.Voters, seen.Others) {
		name, incarnation, _ := strings.Cut(id, "/")
		r := Replica{Node: name, Incarnation: incarnation, Applied: seen.AppliedOn(name), Voter: slices.Contains(seen.Voters, id)}
		if seen.Contacts != nil {
			r.Contact = seen.Contacts(id)
		}
		all.Replicas = append(all.Replicas, r)
	}
	slices.SortFunc(all.Replicas, func(a, b Replica) int { return strings.Compare(a.Node, b.Node) })
	return all
}
