package cluster

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"

	"quorumta/cluster/lead"
)

func (n *Node) newMover() *lead.Mover {
	return lead.New(lead.Options{
		Self:  n.o.Name,
		Peers: n.peers,
		Groups: func() (all []lead.Group) {
			for _, r := range n.desk.All() {
				all = append(all, leadOf(r))
			}
			return all
		},
		Group: func(shard uint16) (lead.Group, error) {
			r, err := n.group(shard)
			if err != nil {
				return lead.Group{}, err
			}
			return leadOf(r), nil
		},
		Preferred: func(shard uint16) string { return n.atlas.Now().Lead[shard] },
		Leaving: func(name string) bool {
			x, ok := n.atlas.Now().Member(name)
			return !ok || x.Leaving
		},
		Transfer: func(ctx context.Context, shard uint16, id string) error {
			r, err := n.group(shard)
			if err != nil {
				return err
			}
			return r.Transfer(ctx, raft.ServerID(id))
		},
		Ask: n.ask,
		Log: n.o.Log,
	})
}

func leadOf(r *replica) lead.Group {
	s := r.Status()
	return lead.Group{Shard: r.shard, Leads: s.Leads, Commit: s.Commit, Voters: strs(s.Voters)}
}

// Transfer hands the shard's lead to the node, which must be a caught-up
// voter. It can be called on any member.
func (n *Node) Transfer(ctx context.Context, shard ShardID, to string) error {
	leader := n.Leader(shard)
	if leader == "" {
		return fmt.Errorf("shard %d: %w: it has no leader", shard, ErrNotLeader)
	}
	if leader == to {
		return nil
	}
	return n.ask(ctx, leader, lead.MethodTransfer, lead.Request{Shard: shard, To: to}, &struct{}{})
}

// Drain hands every lead away and takes none until the process ends. It
// returns when this node leads nothing, with ctx, or at once when there is
// nobody to hand anything to: all others are down or draining as well.
func (n *Node) Drain(ctx context.Context) error { return n.mover.Drain(ctx) }
