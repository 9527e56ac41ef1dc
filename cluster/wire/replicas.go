package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// replicaMethod carries what one replica of a shard asks of another beside
// Raft. A request begins with
//
//	shard   2 bytes, big endian
//	length  2 bytes
//	to      the Raft id that is meant
const replicaMethod = "cluster.replica"

// Serve gives the layer who answers what other replicas of the shard ask; from
// is then a Raft id, whose incarnation is the caller's word. ctx ends with the
// layer.
func (l *Layer) Serve(h Handler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serve = h
}

// Call asks the replica of the shard on another node. It fails as Port.Call
// does; a node that has no such replica open answers with a *CallError.
func (l *Layer) Call(ctx context.Context, peer string, request []byte) ([]byte, error) {
	b := binary.BigEndian.AppendUint16(nil, l.shard)
	b = binary.BigEndian.AppendUint16(b, uint16(len(peer)))
	return l.port.Call(ctx, nameOf(peer), replicaMethod, append(append(b, peer...), request...))
}

// serveReplica hands a request to the replica that it is for.
func (p *Port) serveReplica(ctx context.Context, _ string, b []byte) ([]byte, error) {
	if len(b) < 4 || len(b)-4 < int(binary.BigEndian.Uint16(b[2:])) {
		return nil, errors.New("the request is cut short")
	}
	shard, length := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
	to, request := string(b[4:4+length]), b[4+length:]
	if to != p.o.Self {
		return nil, fmt.Errorf("%s is asked, and this is %s", to, p.o.Self)
	}
	p.mu.Lock()
	l := p.layers[shard]
	p.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("shard %d: %s", shard, shardClosed)
	}
	l.mu.Lock()
	serve := l.serve
	l.mu.Unlock()
	if serve == nil {
		return nil, fmt.Errorf("shard %d: %s", shard, shardClosed)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	return serve(ctx, CallerID(ctx), request)
}
