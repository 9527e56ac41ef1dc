package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const (
	raftProtocol = "quorumta-raft/1"
	callProtocol = "h2"

	// admitTimeout bounds TLS and the hello, admitting how many connections
	// are at that point.
	admitTimeout = 5 * time.Second
	admitting    = 256
)

// Network makes and takes connections.
type Network interface {
	Listen(address string) (net.Listener, error)
	Dial(ctx context.Context, address string) (net.Conn, error)
}

// Options says what a port is. Zero means a default only where it is said.
type Options struct {
	// Self is this node's Raft id, name/incarnation.
	Self string
	// Cluster is the cluster's id.
	Cluster string
	// Listen is the address of the port; "" means that the node is alone and
	// nothing listens.
	Listen string
	// Members are name and address of all nodes, until SetMembers.
	Members map[string]string
	// TLS has this node's certificate and the cluster's CA; nil means plain.
	TLS *tls.Config
	// Join answers a node that has no certificate yet, or says why not. It runs
	// at most four times at once, for at most five seconds. Nil refuses; without
	// TLS it is not asked.
	Join func(ctx context.Context, request []byte) ([]byte, error)
	// CA is the CA's certificate, DER, for who joins: needed with Join.
	CA []byte
	// Errors are those that stay what they are when a handler on another node
	// returns them, by the name that travels. A name never changes.
	Errors  map[string]error
	Network Network
	Log     *slog.Logger
	Meter   metric.Meter
}

// Port is a node's end of all connections between nodes. Its methods are safe
// for concurrent use.
type Port struct {
	o       Options
	calls   *calls
	roster  *roster
	joining chan struct{} // a place for each who joins
	refused metric.Int64Counter

	mu     sync.Mutex // guards layers
	layers map[uint16]*Layer
}

// New makes a port; nothing listens before Run.
func New(o Options) (*Port, error) {
	p := &Port{o: o, roster: newRoster(o.Members), joining: make(chan struct{}, joining), layers: map[uint16]*Layer{}}
	p.calls = newCalls(p)
	p.Handle(replicaMethod, p.serveReplica)
	var err error
	p.refused, err = o.Meter.Int64Counter("quorumta_raft_refused_connections",
		metric.WithDescription("Connections on the cluster port that were refused, by reason."))
	if err != nil {
		return nil, fmt.Errorf("make metric: %w", err)
	}
	return p, nil
}

// Run takes connections until ctx ends; when it returns nothing of the port is
// running and every connection is closed.
func (p *Port) Run(ctx context.Context) error {
	if p.o.Listen == "" {
		<-ctx.Done()
		return nil
	}
	l, err := p.o.Network.Listen(p.o.Listen)
	if err != nil {
		return fmt.Errorf("open the cluster port: %w", err)
	}
	var running sync.WaitGroup
	served := newInbox(l.Addr())
	running.Go(func() { p.calls.serve(served) })
	running.Go(func() { p.accept(ctx, l, served) })
	<-ctx.Done()
	err = l.Close()
	p.calls.close()
	running.Wait()
	if err != nil {
		return fmt.Errorf("close the cluster port: %w", err)
	}
	return nil
}

// accept hands each connection to who it is for.
func (p *Port) accept(ctx context.Context, l net.Listener, served *inbox) {
	var admissions sync.WaitGroup
	defer admissions.Wait()
	defer served.Close()
	places := make(chan struct{}, admitting)
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			p.o.Log.Warn("cannot take a cluster connection", "err", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			p.refuse(conn, "busy", nil)
			continue
		}
		admissions.Go(func() {
			defer func() { <-places }()
			defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
			p.admit(ctx, conn, served)
		})
	}
}

// admit finds out what a connection is for and passes it on, or closes it.
func (p *Port) admit(ctx context.Context, raw net.Conn, served *inbox) {
	_ = raw.SetDeadline(time.Now().Add(admitTimeout))
	below := p.roster.hold(raw, "", "")
	ahead := &burst{Conn: below}
	var conn net.Conn = ahead
	protocol, name := "", ""
	if p.o.TLS == nil {
		plain, err := peek(conn)
		if err != nil {
			_ = conn.Close() // a probe: connected, and gone
			return
		}
		conn, protocol = plain, plain.protocol()
	} else {
		secure := tls.Server(conn, p.serverTLS())
		if err := secure.HandshakeContext(ctx); err != nil {
			p.refuse(conn, "tls", err)
			return
		}
		state := secure.ConnectionState()
		if state.NegotiatedProtocol == joinProtocol {
			p.letJoin(ctx, secure)
			return
		}
		conn, protocol, name = secure, state.NegotiatedProtocol, p.member(state.PeerCertificates[0])
		if name == "" || !p.roster.own(below, name) {
			p.refuse(conn, "no member", fmt.Errorf("certificate %q", state.PeerCertificates[0].Subject))
			return
		}
	}
	if protocol == callProtocol {
		_ = conn.SetDeadline(time.Time{})
		served.put(conn)
		return
	}
	ahead.readAhead()
	p.welcome(conn, below, name)
}

// refuse closes a connection that is not let in. A probe, which says nothing,
// is nobody's worry.
func (p *Port) refuse(conn net.Conn, why string, err error) {
	p.refused.Add(context.Background(), 1, metric.WithAttributes(attribute.String("reason", why)))
	level := slog.LevelWarn
	if why == shardClosed.String() {
		level = slog.LevelDebug // it is being reopened
	}
	p.o.Log.Log(context.Background(), level, "cluster connection refused", "peer", conn.RemoteAddr().String(), "reason", why, "err", err)
	_ = conn.Close()
}

// member is the member that a certificate names, or "".
func (p *Port) member(cert *x509.Certificate) string {
	// Its other names are hosts, which whoever asked for it chose.
	if _, ok := p.roster.address(cert.Subject.CommonName); ok {
		return cert.Subject.CommonName
	}
	return ""
}

func (p *Port) serverTLS() *tls.Config {
	c := p.o.TLS.Clone()
	c.NextProtos = []string{raftProtocol, callProtocol}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.MinVersion = tls.VersionTLS13
	if p.o.Join != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if asksToJoin(hello) {
				return p.joinTLS(), nil
			}
			return nil, nil
		}
	}
	return c
}

// dial connects to a member for a protocol. Below TLS, the connection is what
// wrap makes of it.
func (p *Port) dial(ctx context.Context, name, protocol string, wrap func(net.Conn) net.Conn) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	below, err := p.connect(ctx, name)
	if err != nil {
		return nil, err
	}
	conn := wrap(below)
	if p.o.TLS == nil {
		return conn, nil
	}
	c := p.o.TLS.Clone()
	c.NextProtos = []string{protocol}
	c.MinVersion = tls.VersionTLS13
	c.ServerName = name
	secure := tls.Client(conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("dial %s at %s: %w", name, below.dialed, err)
	}
	return secure, nil
}

// Probe connects to a member and hangs up. The error of a machine that is up
// while the process is not is syscall.ECONNREFUSED.
func (p *Port) Probe(ctx context.Context, name string) error {
	conn, err := p.connect(ctx, name)
	if err != nil {
		return err
	}
	return conn.Close()
}

// peeked is a plain connection whose first byte has been read.
type peeked struct {
	net.Conn
	first []byte
}

func peek(conn net.Conn) (*peeked, error) {
	first := make([]byte, 1)
	if _, err := conn.Read(first); err != nil {
		return nil, err
	}
	return &peeked{conn, first}, nil
}

func (c *peeked) protocol() string {
	if strings.HasPrefix(http2Preface, string(c.first)) {
		return callProtocol
	}
	return raftProtocol
}

// http2Preface begins every HTTP/2 connection (RFC 9113, section 3.4).
const http2Preface = "PRI * HTTP/2.0"

// Read implements net.Conn.
func (c *peeked) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// inbox is a listener of connections that have been admitted.
type inbox struct {
	address net.Addr
	conns   chan net.Conn
	done    chan struct{}
	close   func()
}

var _ net.Listener = (*inbox)(nil)

func newInbox(address net.Addr) *inbox {
	done := make(chan struct{})
	return &inbox{address, make(chan net.Conn), done, sync.OnceFunc(func() { close(done) })}
}

// put waits until the connection is taken, and closes it if it never is.
func (i *inbox) put(conn net.Conn) {
	select {
	case i.conns <- conn:
	case <-i.done:
		_ = conn.Close()
	}
}

// Accept implements net.Listener.
func (i *inbox) Accept() (net.Conn, error) {
	select {
	case conn := <-i.conns:
		return conn, nil
	case <-i.done:
		return nil, http.ErrServerClosed
	}
}

// Close implements net.Listener.
func (i *inbox) Close() error {
	i.close()
	return nil
}

// Addr implements net.Listener.
func (i *inbox) Addr() net.Addr { return i.address }
