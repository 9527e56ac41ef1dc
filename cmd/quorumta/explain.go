package main

import (
	"context"
	"encoding/json"
	"time"

	"quorumta/delivery/explain"
	"quorumta/internal/admin"
	"quorumta/internal/admin/api"
	"quorumta/internal/mail"
	"quorumta/queue/call"
)

// The calls that ask the node that leads a message's shard why it waits, and where
// its mail goes.
const (
	callExplain = "delivery.explain"
	callTrace   = "delivery.trace"
)

// wireExplain has the commands told why messages wait, whichever node they ask.
func (n *node) wireExplain() {
	n.cluster.Handle(callExplain, call.Answer(func(_ context.Context, id mail.MessageID) ([]explain.Waiting, error) {
		all, _ := n.delivery.Explain(id)
		return all, nil
	}))
	n.cluster.Handle(callTrace, call.Answer(func(ctx context.Context, id mail.MessageID) ([]explain.Traced, error) {
		all, _ := n.delivery.Trace(ctx, id)
		return all, nil
	}))
	n.admin.Explain(func(ctx context.Context, id mail.MessageID, routes bool) map[uint32]admin.Explained {
		out := map[uint32]admin.Explained{}
		explained := func(context.Context, mail.MessageID) ([]explain.Waiting, bool) { return n.delivery.Explain(id) }
		for _, w := range told(ctx, n, id, 2*time.Second, callExplain, explained) {
			out[w.Recipient] = admin.Explained{Waits: waits(w)}
		}
		if !routes {
			return out
		}
		for _, t := range told(ctx, n, id, 30*time.Second, callTrace, n.delivery.Trace) {
			x := out[t.Recipient]
			x.Route, _ = json.Marshal(t.Trace) // of texts and numbers
			out[t.Recipient] = x
		}
		return out
	})
}

// told is what the leader of a message's shard says of it: this node, or another
// by the call, within the time. Nil where there is nobody to ask.
func told[T any](ctx context.Context, n *node, id mail.MessageID, within time.Duration, name string, here func(context.Context, mail.MessageID) ([]T, bool)) []T {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	all, ok := here(ctx, id)
	if leader := n.cluster.Leader(id.Shard()); !ok && leader != "" && leader != n.file.Node {
		var err error
		if all, err = call.Ask[mail.MessageID, []T](ctx, n.cluster.Call, leader, name, id); err != nil {
			n.log.DebugContext(ctx, "not told why a message waits", "id", id, "leader", leader, "error", err)
		}
	}
	return all
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
	if !w.Warns.IsZero() {
		out.Warns = &api.Time{Time: w.Warns}
	}
	return out
}
