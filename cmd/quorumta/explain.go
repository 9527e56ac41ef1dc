package main

import (
	"context"
	"time"

	"quorumta/delivery/explain"
	"quorumta/internal/admin/api"
	"quorumta/internal/mail"
	"quorumta/queue/call"
)

// callExplain asks the node that leads a message's shard why it waits.
const callExplain = "delivery.explain"

// wireExplain has the commands told why messages wait, whichever node they ask.
func (n *node) wireExplain() {
	n.cluster.Handle(callExplain, call.Answer(func(_ context.Context, id mail.MessageID) ([]explain.Waiting, error) {
		all, _ := n.delivery.Explain(id)
		return all, nil
	}))
	n.admin.Explain(func(ctx context.Context, id mail.MessageID) map[uint32]*api.Waits {
		all, ok := n.delivery.Explain(id)
		if leader := n.cluster.Leader(id.Shard()); !ok && leader != "" && leader != n.file.Node {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			var err error
			if all, err = call.Ask[mail.MessageID, []explain.Waiting](ctx, n.cluster.Call, leader, callExplain, id); err != nil {
				n.log.DebugContext(ctx, "not told why a message waits", "id", id, "leader", leader, "error", err)
			}
		}
		out := map[uint32]*api.Waits{}
		for _, w := range all {
			out[w.Recipient] = waits(w)
		}
		return out
	})
}

// waits is the stable form.
func waits(w explain.Waiting) *api.Waits {
	out := &api.Waits{For: w.For, Why: w.Why, Rule: w.Rule, Step: w.Step}
	if !w.Until.IsZero() {
		out.Until = &api.Time{Time: w.Until}
	}
	if !w.Expires.IsZero() {
		out.Expires = &api.Time{Time: w.Expires}
	}
	return out
}
