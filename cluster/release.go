package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"quorumta/cluster/upkeep"
)

const (
	methodReleased = "cluster.released"
	releaseTimeout = time.Second
)

// released asks whether the shard does without this node.
func (n *Node) released(ctx context.Context, r upkeep.Request) bool {
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
func (n *Node) releasedHere(_ context.Context, r upkeep.Request) (bool, error) {
	if !r.Sound(n.atlas.Now().Map) {
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
