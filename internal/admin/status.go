package admin

import (
	"context"
	"slices"
	"strings"

	"quorumta/cluster"
	"quorumta/internal/admin/api"
	"quorumta/queue/state"
)

// status joins what the asked node sees with what the map of the cluster wants.
func (s *Server) status(context.Context, *struct{}) (*api.Status, error) {
	m := s.node.Map()
	out := &api.Status{Map: m.Version, Nodes: []api.Node{}, Shards: []api.Shard{}}
	for _, n := range s.node.Nodes() {
		leads := n.Leads
		if leads == nil {
			leads = []uint16{}
		}
		x, _ := m.Member(n.Name)
		out.Nodes = append(out.Nodes, api.Node{
			Name: n.Name, Address: n.Address, Alive: n.Alive, Leads: leads,
			Version: n.Version, Free: n.Free, Draining: n.Draining,
			Incarnation: x.Incarnation, Level: x.Level, Leaving: x.Leaving,
		})
	}
	for _, sh := range s.node.Status() {
		shard := s.shard(sh)
		if wanted, ok := m.Shard(sh.ID); ok {
			shard.Wanted, shard.Retiring = names(wanted.Replicas), wanted.Retiring
		}
		if view, done, err := s.node.View(sh.ID); err == nil {
			shard.Queued = state.Count(view).Messages
			done()
		}
		out.Shards = append(out.Shards, shard)
	}
	out.Control = s.shard(s.node.ControlStatus())
	out.Control.Wanted = names(m.Control.Replicas)
	return out, nil
}

// shard is what the asked node sees of a shard.
func (s *Server) shard(sh cluster.ShardStatus) api.Shard {
	shard := api.Shard{
		ID: sh.ID, Leader: sh.Leader, Term: sh.Term, Commit: sh.Commit, Applied: sh.Applied,
		Stopped: sh.Stopped, Replicas: []api.Replica{}, Wanted: []string{},
	}
	for _, r := range sh.Replicas {
		shard.Replicas = append(shard.Replicas, api.Replica{Node: r.Node, Applied: r.Applied, Voter: r.Voter})
	}
	return shard
}

// names are the names in Raft ids, in order.
func names(raftIDs []string) []string {
	out := []string{}
	for _, id := range raftIDs {
		name, _, _ := strings.Cut(id, "/")
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
