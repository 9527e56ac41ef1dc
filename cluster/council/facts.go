package council

import (
	"quorumta/cluster/control"
	"quorumta/cluster/peers"
)

// Sight is what a node sees of the cluster: the map, what it knows of itself,
// and what the others have reported.
type Sight struct {
	// Self is this node's name, Incarnation its own.
	Self, Incarnation string
	Map               func() control.Map
	Own               func() peers.Report
	Peers             *peers.Peers
}

// Alive reports whether the member answers and is who the map says.
func (s Sight) Alive(name string) bool {
	x, ok := s.Map().Member(name)
	if !ok {
		return false
	}
	if name == s.Self {
		return x.Incarnation == s.Incarnation
	}
	o, alive := s.Peers.Get(name)
	return alive && o.Report.Incarnation == x.Incarnation
}

// facts are what the control leader decides by.
func (s Sight) facts() control.Facts {
	own := s.Own()
	f := control.Facts{
		Alive: s.Alive,
		Serves: func(name string) bool {
			if name == s.Self {
				return own.Serves
			}
			o, alive := s.Peers.Get(name)
			return alive && o.Report.Serves
		},
		Groups: map[control.ShardID]control.Report{},
	}
	for _, g := range s.Map().Groups() {
		leader, at := s.Peers.Leader(g.ID)
		o, _ := s.Peers.Get(leader)
		seen := o.Report.Map
		if mine := own.Shards[g.ID]; mine.Office != nil && mine.Term >= at.Term {
			at, seen = mine, own.Map
		}
		if at.Office != nil {
			f.Groups[g.ID] = control.Report{
				Voters: at.Office.Voters, Others: at.Office.Others, Settled: at.Office.Settled,
				Empty: at.Office.Empty, Ended: at.Office.Ended, Seen: seen,
			}
		}
	}
	return f
}

// poisoned are the members that say that their replica of the shard has stopped
// at an entry, and at which.
func (s Sight) poisoned(shard control.ShardID) map[string]uint64 {
	all := map[string]uint64{}
	note := func(name string, r peers.Report) {
		if at := r.Shards[shard].Poison; at != 0 {
			all[name] = at
		}
	}
	note(s.Self, s.Own())
	for _, name := range s.Peers.Names() {
		if o, alive := s.Peers.Get(name); alive {
			note(name, o.Report)
		}
	}
	return all
}
