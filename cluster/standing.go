package cluster

import (
	"context"
	"errors"
	"syscall"

	"github.com/hashicorp/raft"

	"quorumta/cluster/group"
)

const methodStanding = "cluster.standing"

// standings reaches the other replicas of this node's groups beside Raft.
type standings struct{ node *Node }

var _ group.Peers = standings{}

// Refused implements group.Peers.
func (s standings) Refused(ctx context.Context, id raft.ServerID) bool {
	err := s.node.port.Probe(ctx, nameOf(id))
	return errors.Is(err, syscall.ECONNREFUSED)
}

// standingRequest asks for a group.Standing.
type standingRequest struct {
	Shard ShardID       `json:"shard"`
	Dead  raft.ServerID `json:"dead"`
}

// Standing implements group.Peers.
func (s standings) Standing(ctx context.Context, id raft.ServerID, shard uint16, dead raft.ServerID) (at group.Standing, err error) {
	err = s.node.ask(ctx, nameOf(id), methodStanding, standingRequest{shard, dead}, &at)
	return at, err
}

// standingHere is this node's answer.
func (n *Node) standingHere(ctx context.Context, r standingRequest) (group.Standing, error) {
	h, err := n.group(r.Shard)
	if err != nil {
		return group.Standing{}, err
	}
	return h.Standing(ctx, r.Dead), nil
}
