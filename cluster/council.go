package cluster

import (
	"context"
	"errors"

	"quorumta/cluster/control"
	"quorumta/cluster/council"
)

const methodOrder = "cluster.order"

// The control group's results.
const (
	folded  Result = 1
	refused Result = 2
)

// chronicle is the machine of the control group: it folds changes into the map.
type chronicle struct{ node *Node }

// Apply implements Machine.
func (c *chronicle) Apply(view View, batch Batch, entry Entry) []Result {
	m, ok := council.Fold(view, batch, entry.Index, entry.Data)
	if !ok {
		return []Result{refused}
	}
	c.node.atlas.Offer(m)
	return []Result{folded}
}

// Lead implements Machine.
func (c *chronicle) Lead(uint64) {}

// Unlead implements Machine.
func (c *chronicle) Unlead() {}

// controlMap is the map as this node's replica of the control group has it, of
// version 0 where it has none.
func (n *Node) controlMap() control.Map {
	view, done, err := n.View(0)
	if err != nil {
		return control.Map{}
	}
	defer done()
	return council.Read(view)
}

// newCouncil is this node's place in the decisions of the control group.
func (n *Node) newCouncil() *council.Council {
	return council.New(council.Options{
		Leader: func() string { return n.Leader(0) },
		Term:   func() (uint64, bool) { return n.Term(0) },
		Propose: func(ctx context.Context, term uint64, change []byte) (bool, error) {
			results, err := n.Propose(ctx, 0, term, change)
			return len(results) == 1 && results[0] == folded, err
		},
		Map:   n.controlMap,
		First: n.Map,
		Sight: council.Sight{
			Self: n.o.Name, Incarnation: n.papers.Incarnation(), Peers: n.peers,
			Map: n.Map, Own: n.report,
		},
		Ask: func(ctx context.Context, leader string, o council.Order) error {
			return n.ask(ctx, leader, methodOrder, o, &struct{}{})
		},
		Again: func(err error) bool {
			return errors.Is(err, ErrNotLeader) || errors.Is(err, ErrUnknownOutcome) || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrNoSuchShard)
		},
		NotLeader: ErrNotLeader,
		Log:       n.o.Log,
	})
}
