package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// frameLimit bounds what a peer may send before it is answered; an append
	// is cut to a quarter of it.
	frameLimit = 16 << 20
	// installSnapshot is Raft's number of the one request that is longer.
	installSnapshot = 2
)

var errFrame = errors.New("request longer than 16 MiB")

// Layer is one shard's stream layer: the connections of one opening of its
// group. Addresses are Raft ids.
type Layer struct {
	port  *Port
	shard uint16
	conns *inbox
	lost  func(peer string)
	ctx   context.Context // ends with the layer; dials are under it
	end   context.CancelFunc

	mu    sync.Mutex           // guards the rest
	open  map[*stream]struct{} // nil once closed
	serve Handler              // nil: nobody answers
}

var _ raft.StreamLayer = (*Layer)(nil)

// Open opens the stream layer of a shard, which must be closed before it is
// opened again. lost is called when a peer's connection to us breaks; it must
// not block.
func (p *Port) Open(shard uint16, lost func(peer string)) *Layer {
	ctx, end := context.WithCancel(context.Background())
	l := &Layer{
		ctx:   ctx,
		end:   end,
		port:  p,
		shard: shard,
		conns: newInbox(raftAddr(p.o.Self)),
		lost:  lost,
		open:  map[*stream]struct{}{},
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.layers[shard] = l
	return l
}

// take adds a connection from the peer.
func (l *Layer) take(conn net.Conn, peer string) {
	if s := l.track(&stream{Conn: conn, layer: l, peer: peer, inbound: true}); s != nil {
		l.conns.put(s)
	}
}

// track remembers a stream, or closes it when the layer is closed.
func (l *Layer) track(s *stream) *stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		_ = s.Conn.Close()
		return nil
	}
	l.open[s] = struct{}{}
	return s
}

// Accept implements net.Listener.
func (l *Layer) Accept() (net.Conn, error) { return l.conns.Accept() }

// Addr implements net.Listener: this node's Raft id.
func (l *Layer) Addr() net.Addr { return l.conns.Addr() }

// Dial implements raft.StreamLayer; the address is the peer's Raft id.
func (l *Layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(l.ctx, timeout)
	defer cancel()
	peer := string(address)
	below := &burst{}
	conn, err := l.port.dial(ctx, nameOf(peer), raftProtocol, func(c net.Conn) net.Conn {
		below.Conn = c
		return below
	})
	if err != nil {
		return nil, err
	}
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secured{secure, below}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	h := hello{Cluster: l.port.o.Cluster, Shard: l.shard, From: l.port.o.Self, To: peer}
	if err := greet(conn, h); err != nil {
		stop()
		_ = conn.Close()
		return nil, fmt.Errorf("dial %s for shard %d: %w", peer, l.shard, err)
	}
	stop()
	s := l.track(&stream{Conn: conn, layer: l, peer: peer})
	if s == nil {
		return nil, net.ErrClosed
	}
	return s, nil
}

// Close implements net.Listener. It closes every connection of the layer, in
// both directions.
func (l *Layer) Close() error {
	l.end()
	l.conns.close()
	l.port.mu.Lock()
	if l.port.layers[l.shard] == l {
		delete(l.port.layers, l.shard)
	}
	l.port.mu.Unlock()
	l.mu.Lock()
	open := l.open
	l.open = nil
	l.mu.Unlock()
	for s := range open {
		_ = s.Conn.Close()
	}
	return nil
}

// stream is one connection of a layer.
type stream struct {
	net.Conn
	layer   *Layer
	peer    string
	inbound bool

	// Of the goroutine that reads: how much came since the last answer, and
	// whether it may be any length.
	unanswered int
	endless    bool
}

// Read implements net.Conn. Inbound, it bounds a request's length.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if !s.inbound {
		return n, err
	}
	if n > 0 && s.unanswered == 0 {
		s.endless = p[0] == installSnapshot
	}
	s.unanswered += n
	if err != nil {
		s.layer.broken(s)
	} else if s.unanswered > frameLimit && !s.endless {
		return 0, errFrame
	}
	return n, err
}

// Write implements net.Conn.
func (s *stream) Write(p []byte) (int, error) {
	s.unanswered = 0
	n, err := s.Conn.Write(p)
	if err != nil && s.inbound {
		s.layer.broken(s)
	}
	return n, err
}

// Close implements net.Conn.
func (s *stream) Close() error {
	s.layer.mu.Lock()
	delete(s.layer.open, s)
	s.layer.mu.Unlock()
	return s.Conn.Close()
}

// broken reports a connection that the other side ended.
func (l *Layer) broken(s *stream) {
	l.mu.Lock()
	_, open := l.open[s]
	l.mu.Unlock()
	if open {
		l.lost(s.peer)
	}
}

// raftAddr is a Raft id as an address.
type raftAddr string

// Network implements net.Addr.
func (raftAddr) Network() string { return "raft" }

// String implements net.Addr.
func (a raftAddr) String() string { return string(a) }
