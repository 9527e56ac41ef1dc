package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/pires/go-proxyproto"

	"quorumta/smtp/wire"
	"quorumta/smtp/wire/parameter"
)

const (
	// proxyTime is what a balancer may take to send its PROXY header.
	proxyTime = 5 * time.Second
	// partingTime is what it may take to tell a client that it is not served,
	// and mostPartings how many are told at a time beyond those who are served.
	partingTime  = 3 * time.Second
	mostPartings = 64
	// acceptPause is waited when the system has no more sockets for us.
	acceptPause = 100 * time.Millisecond
)

// port is a listener at work.
type port struct {
	Listener
	server   *Server
	listener net.Listener
	wire     atomic.Pointer[wire.Options]
}

// bind opens the listener and prepares what its connections share.
func (s *Server) bind(l Listener) (*port, error) {
	listener, err := s.o.Listen(l.Address)
	if err != nil {
		return nil, fmt.Errorf("listener %s: %w", l.Name, err)
	}
	p := &port{Listener: l, server: s, listener: listener}
	p.limit(s.limits.Load())
	return p, nil
}

// limit makes what the connections share that begin from now on.
func (p *port) limit(l *Limits) {
	s := p.server
	o := &wire.Options{
		Hostname:      s.o.Hostname,
		Backend:       p,
		RequireTLS:    p.TLS == TLSRequire,
		MayRequireTLS: s.o.Queue.MayWish,
		Offers:        p.offers,
		Now:           s.o.Now,
		MaxMessage:    l.Message,
		MaxRecipients: l.Recipients,
		MaxCommand:    l.CommandLine,
		MaxLine:       l.LineIn,
		MaxErrors:     l.Errors,
		Idle:          l.Idle,
		Observe:       s.metrics.reply,
		Log:           s.o.Log.With("listener", p.Name),
	}
	if p.TLS == TLSOffer || p.TLS == TLSRequire {
		o.TLS = p.Config
	}
	p.wire.Store(o)
}

// run accepts until the listener is closed.
func (p *port) run() error {
	for {
		conn, err := p.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil && p.short(err):
			continue
		case err != nil:
			return fmt.Errorf("listener %s: %w", p.Name, err)
		}
		if err := p.server.enter(); err != nil {
			p.turnAway(conn, err, false)
			continue
		}
		go func() {
			defer p.server.leave()
			p.serve(conn)
		}()
	}
}

// short deals with a lack of sockets or memory, which passes.
func (p *port) short(err error) bool {
	var temporary interface{ Temporary() bool }
	if !errors.As(err, &temporary) || !temporary.Temporary() {
		return false
	}
	p.server.o.Log.Warn("cannot accept connections", "listener", p.Name, "error", err)
	select {
	case <-time.After(acceptPause):
	case <-p.server.hard.Done():
	}
	return true
}

// turnAway tells the client of a connection that is one too many. In the clear
// this does not wait. Who needs a handshake first, or has a PROXY header to
// send, hears it from a goroutine of its own, of which there are few: the
// server has enough to do.
func (p *port) turnAway(conn net.Conn, why error, headerRead bool) {
	p.server.metrics.connection(p.Name, why)
	if p.TLS != TLSImplicit && (headerRead || p.Proxy == "") {
		refuse(conn, why)
		return
	}
	if !p.server.partings.room.TryAcquire(1) {
		_ = conn.Close()
		return
	}
	p.server.partings.words.Go(func() {
		defer p.server.partings.room.Release(1)
		p.part(conn, why, headerRead)
	})
}

// part tells the client of a connection that is not served why, when it has
// read the PROXY header and under TLS, if the port has either.
func (p *port) part(conn net.Conn, why error, headerRead bool) {
	ctx, cancel := context.WithTimeout(p.server.hard, partingTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if !headerRead {
		proxied, err := p.behindProxy(conn)
		if err != nil {
			_ = conn.Close()
			return
		}
		conn = proxied
	}
	if p.TLS == TLSImplicit {
		conn = tls.Server(conn, p.Config)
	}
	refuse(conn, why)
}

// refuse tells a client why it is not served: the fault is ours, or it has
// what it may have (RFC 3463, section 3).
func refuse(conn net.Conn, why error) {
	code := gosmtp.EnhancedCode{4, 7, 0}
	if why == errDraining || why == errPressed {
		code = gosmtp.EnhancedCode{4, 3, 2}
	}
	wire.Refuse(conn, code, why.Error(), partingTime)
}

// serve speaks with one client. Its goroutine is counted by enter and leave.
func (p *port) serve(conn net.Conn) {
	conn, err := p.behindProxy(conn)
	if err != nil {
		p.server.metrics.connection(p.Name, err)
		p.server.o.Log.Warn("no PROXY header from a balancer", "listener", p.Name, "client", conn.RemoteAddr().String(), "error", err)
		_ = conn.Close()
		return
	}
	addr := addrOf(conn)
	client := clientNet(addr)
	spoken := conn
	if p.TLS == TLSImplicit {
		spoken = tls.Server(conn, p.Config)
	}
	c := wire.NewConn(withPeer(p.server.hard, addr), spoken, p.wire.Load())
	if err := p.server.join(c, client); err != nil {
		p.turnAway(conn, err, true)
		return
	}
	p.server.metrics.connection(p.Name, nil)
	p.server.metrics.connected(1)
	defer func() {
		p.server.metrics.connected(-1)
		p.server.part(c, client)
	}()
	c.Serve()
}

// errNoProxyHeader is returned for a balancer's connection without header.
var errNoProxyHeader = errors.New("the connection does not begin with a PROXY header")

// behindProxy reads the PROXY header of a balancer's connection. It returns a
// connection in any case.
func (p *port) behindProxy(conn net.Conn) (net.Conn, error) {
	if p.Proxy == "" || !p.server.policy.Load().Env.In(addrOf(conn), p.Proxy) {
		return conn, nil
	}
	stop := context.AfterFunc(p.server.hard, func() { _ = conn.Close() })
	defer stop()
	proxied := proxyproto.NewConn(conn,
		proxyproto.WithPolicy(proxyproto.REQUIRE),
		proxyproto.SetReadHeaderTimeout(proxyTime))
	if proxied.ProxyHeader() == nil {
		return conn, errNoProxyHeader
	}
	return halfCloser{proxied}, nil
}

// halfCloser lets a proxied connection be closed in one direction.
type halfCloser struct{ *proxyproto.Conn }

// CloseWrite sends the end of our side.
func (h halfCloser) CloseWrite() error {
	tcp, ok := h.TCPConn()
	if !ok {
		return errors.ErrUnsupported
	}
	return tcp.CloseWrite()
}

// addrOf is the client's address; the zero Addr if it has none.
func addrOf(conn net.Conn) netip.Addr {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// clientNet is what counts as one client: who has an IPv6 address has its
// network of 64 bits.
func clientNet(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	prefix, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// peerKey carries the client's address in a connection's context.
type peerKey struct{}

func withPeer(ctx context.Context, a netip.Addr) context.Context {
	return context.WithValue(ctx, peerKey{}, a)
}

// offers is what the client of a connection is offered beyond the usual.
func (p *port) offers(ctx context.Context) parameter.Offers {
	addr, _ := ctx.Value(peerKey{}).(netip.Addr)
	env := p.server.policy.Load().Env
	var o parameter.Offers
	if p.Hold > 0 && env.In(addr, p.HoldFrom) {
		o.Hold = p.Hold
	}
	o.Priority = p.PriorityFrom != "" && env.In(addr, p.PriorityFrom) && p.server.o.Queue.MayWish()
	return o
}

// NewSession implements wire.Backend.
func (p *port) NewSession(c *wire.Conn) (gosmtp.Session, error) {
	addr, _ := c.Context().Value(peerKey{}).(netip.Addr)
	return newSession(p.server, p.Name, c, addr), nil
}
