package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	"quorumta/cluster/control"
	"quorumta/cluster/council"
	"quorumta/cluster/digest"
	"quorumta/cluster/lead"
	"quorumta/cluster/peers"
)

// Calls between the nodes themselves. A name and its JSON may change only with
// the version of the cluster.
const methodPing = "cluster.ping"

// ask calls a method whose request and answer are JSON.
func (n *Node) ask(ctx context.Context, node, method string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if body, err = n.Call(ctx, node, method, body); err != nil {
		return err
	}
	return json.Unmarshal(body, answer)
}

// answering makes a handler of a function whose request and answer are JSON.
func answering[Request, Answer any](f func(context.Context, Request) (Answer, error)) Handler {
	return func(ctx context.Context, _ string, body []byte) ([]byte, error) {
		var request Request
		if len(body) > 0 {
			if err := json.Unmarshal(body, &request); err != nil {
				return nil, fmt.Errorf("bad request: %w", err)
			}
		}
		answer, err := f(ctx, request)
		if err != nil {
			return nil, err
		}
		return json.Marshal(answer)
	}
}

// handleOwn installs the handlers of this package.
func (n *Node) handleOwn() {
	n.Handle(methodPing, answering(func(context.Context, struct{}) (peers.Report, error) { return n.report(), nil }))
	n.Handle(methodMap, answering(func(context.Context, struct{}) (control.Map, error) { return n.Map(), nil }))
	n.Handle(methodOrder, answering(func(ctx context.Context, o council.Order) (struct{}, error) {
		return struct{}{}, n.council.Here(ctx, o)
	}))
	n.Handle(methodReleased, answering(n.releasedHere))
	n.Handle(methodStanding, answering(n.standingHere))
	n.Handle(lead.MethodTransfer, answering(n.mover.Here))
	n.Handle(lead.MethodNotice, answering(n.mover.Notice))
	n.Handle(digest.MethodCompare, answering(n.digests.Compare))
	n.Handle(digest.MethodAt, answering(n.digests.At))
	n.Handle(digest.MethodVerdict, answering(n.digests.Hear))
}

// ping asks another member how it is.
func (n *Node) ping(ctx context.Context, name string) (r peers.Report, err error) {
	err = n.ask(ctx, name, methodPing, struct{}{}, &r)
	return r, err
}

// report is this node's.
func (n *Node) report() peers.Report {
	c := n.atlas.Now()
	r := peers.Report{
		Boot:        n.boot,
		Incarnation: n.papers.Incarnation(),
		Version:     n.o.Version,
		Level:       n.o.Level,
		Free:        n.free(),
		Slow:        n.disk.Slow(),
		Draining:    n.mover.Draining(),
		Map:         c.Version,
		Shards:      map[ShardID]peers.Replica{},
	}
	for _, h := range n.desk.All() {
		r.Shards[h.shard] = n.reportOf(h, c)
	}
	return r
}
