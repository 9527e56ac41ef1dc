package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	// prefix is the path of all procedures; the method's name follows.
	prefix = "/quorumta.cluster.v1/"
	// callLimit bounds a request and an answer, bytes.
	callLimit = 16 << 20

	clusterHeader = "Quorumta-Cluster"
	kindHeader    = "Quorumta-Error"
	fromHeader    = "Quorumta-From" // the caller's Raft id; its name is believed only without TLS
)

// What Call fails with besides a CallError.
var (
	// ErrUnreachable: the node could not be called; the call may have run.
	ErrUnreachable = errors.New("node not reachable")
	// ErrNoMethod: the node answered, and has no such method; it may run an
	// older program. It comes with ErrUnreachable.
	ErrNoMethod = errors.New("no such method there")
	// ErrForeign: the node answered, and does not take this one for a member of
	// its cluster. It comes with ErrUnreachable.
	ErrForeign = errors.New("not taken for a member")
)

// Handler answers a call. from is the caller's name as its certificate says.
type Handler func(ctx context.Context, from string, request []byte) ([]byte, error)

// CallError is an error that a handler on another node returned. It wraps the
// one of Options.Errors that the handler's did.
type CallError struct {
	Text string
	kind error // nil: none of them
}

// Error implements error.
func (e *CallError) Error() string { return e.Text }

// Unwrap is for errors.Is.
func (e *CallError) Unwrap() error { return e.kind }

// kindOf is the name of the error by which it is known on other nodes; "" for
// none.
func (c *calls) kindOf(err error) string {
	for _, name := range slices.Sorted(maps.Keys(c.port.o.Errors)) {
		if errors.Is(err, c.port.o.Errors[name]) {
			return name
		}
	}
	return ""
}

type callClient = connect.Client[wrapperspb.BytesValue, wrapperspb.BytesValue]

// calls is the side of a port that speaks HTTP/2.
type calls struct {
	port   *Port
	mux    *http.ServeMux
	server *http.Server
	client *http.Client
	// refusals answers who is not let in.
	refusals *connect.ErrorWriter
	// handling waits for handlers, which http.Server.Close does not. It grows
	// under mu, and not once dialed is nil.
	handling sync.WaitGroup

	mu       sync.Mutex // guards the rest
	handlers map[string]Handler
	clients  map[string]*callClient // by URL
	dialed   map[*dialed]struct{}   // nil once closed
}

func newCalls(p *Port) *calls {
	c := &calls{
		port:     p,
		refusals: connect.NewErrorWriter(),
		mux:      http.NewServeMux(),
		handlers: map[string]Handler{},
		clients:  map[string]*callClient{},
		dialed:   map[*dialed]struct{}{},
	}
	// A peer that has gone silent is found out by pings.
	pings := &http.HTTP2Config{SendPingTimeout: 3 * time.Second, PingTimeout: 2 * time.Second}
	only := new(http.Protocols)
	only.SetHTTP2(p.o.TLS != nil)
	only.SetUnencryptedHTTP2(p.o.TLS == nil)
	c.server = &http.Server{
		Handler:           c.mux,
		Protocols:         only,
		HTTP2:             pings,
		ReadHeaderTimeout: admitTimeout,
		ErrorLog:          slog.NewLogLogger(p.o.Log.Handler(), slog.LevelDebug),
	}
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		name, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return c.port.dial(ctx, name, callProtocol, c.track)
	}
	c.client = &http.Client{Transport: &http.Transport{
		DialContext:       dial,
		DialTLSContext:    dial,
		Protocols:         only,
		HTTP2:             pings,
		ForceAttemptHTTP2: true,
	}}
	return c
}

// dialed is a connection of the client's.
type dialed struct {
	net.Conn
	calls *calls
}

// track remembers a connection so that close can end it.
func (c *calls) track(conn net.Conn) net.Conn {
	d := &dialed{conn, c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dialed == nil {
		_ = conn.Close()
		return conn
	}
	c.dialed[d] = struct{}{}
	return d
}

// Close implements net.Conn.
func (d *dialed) Close() error {
	d.calls.mu.Lock()
	delete(d.calls.dialed, d)
	d.calls.mu.Unlock()
	return d.Conn.Close()
}

func (c *calls) serve(l net.Listener) {
	if err := c.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		c.port.o.Log.Error("cluster calls ended", "err", err)
	}
}

// close ends all calls, in both directions, and waits for the handlers.
func (c *calls) close() {
	_ = c.server.Close()
	c.mu.Lock()
	open := c.dialed
	c.dialed = nil
	c.mu.Unlock()
	for d := range open {
		_ = d.Conn.Close()
	}
	c.client.CloseIdleConnections()
	c.handling.Wait()
}

// Handle gives the port the handler of a method, before Run.
func (p *Port) Handle(method string, h Handler) {
	c := p.calls
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handlers[method] = h
	unary := connect.NewUnaryHandler(prefix+method,
		func(ctx context.Context, r *connect.Request[wrapperspb.BytesValue]) (*connect.Response[wrapperspb.BytesValue], error) {
			answer, err := h(ctx, callerOf(ctx), r.Msg.GetValue())
			if err != nil {
				// Aborted says that a handler spoke, not the machinery.
				said := connect.NewError(connect.CodeAborted, err)
				if kind := c.kindOf(err); kind != "" {
					said.Meta().Set(kindHeader, kind)
				}
				return nil, said
			}
			return connect.NewResponse(wrapperspb.Bytes(answer)), nil
		},
		connect.WithReadMaxBytes(callLimit), connect.WithCompression("gzip", nil, nil))
	c.mux.Handle(prefix+method, c.guarded(unary))
}

// begin counts a handler, unless the port is closing.
func (c *calls) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dialed == nil {
		return false
	}
	c.handling.Add(1)
	return true
}

type callerKey struct{}

// caller is who calls.
type caller struct{ name, id string }

func callerOf(ctx context.Context) string {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c.name
}

// CallerID is the Raft id, name/incarnation, that the caller says it has. Its
// name is certain, its incarnation is its word.
func CallerID(ctx context.Context) string {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c.id
}

// guarded lets calls of members of this cluster through.
func (c *calls) guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.begin() {
			http.Error(w, "closing", http.StatusServiceUnavailable)
			return
		}
		defer c.handling.Done()
		id := r.Header.Get(fromHeader)
		from := nameOf(id)
		if r.TLS != nil {
			from = c.port.member(r.TLS.PeerCertificates[0])
		}
		_, member := c.port.roster.address(from)
		why := foreignCluster
		if !member || nameOf(id) != from {
			why = foreignNode
		} else if r.Header.Get(clusterHeader) == c.port.o.Cluster {
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller{from, id})))
			return
		}
		c.port.o.Log.Warn("cluster call refused", "peer", r.RemoteAddr, "from", id, "reason", why.String())
		err := connect.NewError(connect.CodePermissionDenied, fmt.Errorf("%s does not take %s in: %s", c.port.o.Self, id, why))
		if err := c.refusals.Write(w, r, err); err != nil {
			c.port.o.Log.Debug("cannot refuse a cluster call", "err", err)
		}
	})
}

// Call runs a method on a member, or here. An error that the handler returned
// is a *CallError; any other wraps ErrUnreachable, and the call may have run.
func (p *Port) Call(ctx context.Context, node, method string, request []byte) ([]byte, error) {
	c := p.calls
	if node == nameOf(p.o.Self) {
		return c.local(ctx, method, request)
	}
	if _, ok := p.roster.address(node); !ok {
		return nil, fmt.Errorf("%w: %q is not a member", ErrUnreachable, node)
	}
	r := connect.NewRequest(wrapperspb.Bytes(request))
	r.Header().Set(clusterHeader, p.o.Cluster)
	r.Header().Set(fromHeader, p.o.Self)
	answer, err := c.to(node, method).CallUnary(ctx, r)
	switch {
	case err == nil:
		return answer.Msg.GetValue(), nil
	case connect.IsWireError(err) && connect.CodeOf(err) == connect.CodeAborted:
		var e *connect.Error
		errors.As(err, &e)
		return nil, &CallError{Text: e.Message(), kind: p.o.Errors[e.Meta().Get(kindHeader)]}
	case connect.IsWireError(err) && connect.CodeOf(err) == connect.CodePermissionDenied:
		return nil, fmt.Errorf("%w: %w: %w", ErrUnreachable, ErrForeign, err)
	case connect.CodeOf(err) == connect.CodeUnimplemented:
		return nil, fmt.Errorf("%w: %w: %w", ErrUnreachable, ErrNoMethod, err)
	}
	return nil, fmt.Errorf("%w: call %s on %s: %w", ErrUnreachable, method, node, err)
}

// local runs a method on this node.
func (c *calls) local(ctx context.Context, method string, request []byte) ([]byte, error) {
	c.mu.Lock()
	h := c.handlers[method]
	c.mu.Unlock()
	if h == nil {
		return nil, fmt.Errorf("%w: %w: %q", ErrUnreachable, ErrNoMethod, method)
	}
	self := caller{nameOf(c.port.o.Self), c.port.o.Self}
	answer, err := h(context.WithValue(ctx, callerKey{}, self), self.name, request)
	if err != nil {
		return nil, &CallError{Text: err.Error(), kind: c.port.o.Errors[c.kindOf(err)]}
	}
	return answer, nil
}

// to is the client of a method on a node.
func (c *calls) to(node, method string) *callClient {
	scheme := "https://"
	if c.port.o.TLS == nil {
		scheme = "http://"
	}
	url := scheme + node + prefix + method
	c.mu.Lock()
	defer c.mu.Unlock()
	client := c.clients[url]
	if client == nil {
		client = connect.NewClient[wrapperspb.BytesValue, wrapperspb.BytesValue](c.client, url,
			connect.WithReadMaxBytes(callLimit), connect.WithAcceptCompression("gzip", nil, nil))
		c.clients[url] = client
	}
	return client
}
