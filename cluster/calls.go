package cluster

import (
	"context"

	"quorumta/cluster/control"
	"quorumta/cluster/council"
	"quorumta/cluster/digest"
	"quorumta/cluster/jsoncall"
	"quorumta/cluster/lead"
	"quorumta/cluster/papers"
	"quorumta/cluster/peers"
)

// Calls between the nodes themselves. A name and its JSON may change only with
// the version of the cluster.
const methodPing = "cluster.ping"

// ask calls a method whose request and answer are JSON.
func (n *Node) ask(ctx context.Context, node, method string, request, answer any) error {
	return jsoncall.Call(n.Call).Ask(ctx, node, method, request, answer)
}

// handleOwn installs the handlers of this package.
func (n *Node) handleOwn() {
	n.Handle(methodPing, jsoncall.Handler(func(context.Context, struct{}) (peers.Report, error) { return n.report(), nil }))
	n.Handle(methodMap, jsoncall.Handler(func(context.Context, struct{}) (control.Map, error) { return n.Map(), nil }))
	n.Handle(methodOrder, jsoncall.Handler(func(ctx context.Context, o council.Order) (struct{}, error) {
		return struct{}{}, n.council.Here(ctx, o)
	}))
	n.Handle(methodReleased, jsoncall.Handler(n.releasedHere))
	n.Handle(methodStanding, jsoncall.Handler(n.standingHere))
	n.Handle(lead.MethodTransfer, jsoncall.Handler(n.mover.Here))
	n.Handle(lead.MethodNotice, jsoncall.Handler(n.mover.Notice))
	n.Handle(digest.MethodCompare, jsoncall.Handler(n.digests.Compare))
	n.Handle(digest.MethodAt, jsoncall.Handler(n.digests.At))
	n.Handle(digest.MethodVerdict, jsoncall.Handler(n.digests.Hear))
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
		Free:        n.disk.Free(),
		Slow:        n.disk.Slow(),
		Draining:    n.mover.Draining(),
		Serves:      n.serves.Load(),
		Map:         c.Version,
		Shards:      map[ShardID]peers.Replica{},
	}
	for _, h := range n.desk.All() {
		r.Shards[h.shard] = n.reportOf(h, c)
	}
	for _, shard := range n.papers.Replicas() {
		if n.papers.Stage(shard) == papers.Damaged {
			r.Shards[shard] = peers.Replica{Stopped: true, Lost: true}
		}
	}
	return r
}
