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
		Facts: n.facts,
		Alive: n.isAlive,
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

// facts are what this node, the control leader, has seen of the others.
func (n *Node) facts() control.Facts {
	own := n.report()
	groups := map[ShardID]control.Report{}
	c := n.atlas.Now()
	for _, s := range c.Groups() {
		leader, at := n.peers.Leader(s.ID)
		o, _ := n.peers.Get(leader)
		seen := o.Report.Map
		if mine := own.Shards[s.ID]; mine.Office != nil && mine.Term >= at.Term {
			at, seen = mine, own.Map
		}
		if at.Office != nil {
			groups[s.ID] = control.Report{Voters: at.Office.Voters, Others: at.Office.Others, Settled: at.Office.Settled, Empty: at.Office.Empty, Seen: seen}
		}
	}
	return control.Facts{
		Alive: n.isAlive,
		Seen: func(name string) uint64 {
			if name == n.o.Name {
				return own.Map
			}
			o, _ := n.peers.Get(name)
			return o.Report.Map
		},
		Groups: groups,
	}
}

// isAlive reports whether the member answers and is who the map says.
func (n *Node) isAlive(name string) bool {
	x, ok := n.atlas.Now().Member(name)
	if !ok {
		return false
	}
	if name == n.o.Name {
		return x.Incarnation == n.papers.Incarnation()
	}
	o, _ := n.peers.Get(name)
	return n.answers(name) && o.Report.Incarnation == x.Incarnation
}
