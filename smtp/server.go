package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"quorumta/smtp/wire"
)

// Server receives mail on its listeners.
type Server struct {
	o       Options
	metrics *metrics
	ports   []*port
	policy  atomic.Pointer[Policy]
	limits  atomic.Pointer[Limits]
	pieces  sync.Pool // of *[]byte of the length piece

	// hard ends the connections; stop calls it.
	hard context.Context
	stop context.CancelFunc

	partings partings

	mu       sync.Mutex
	draining bool
	conns    map[*wire.Conn]struct{}
	clients  map[netip.Prefix]int // connections by client
	open     int                  // connections, before and after their PROXY header
	idle     chan struct{}        // closed when the server drains and open is 0
}

// partings are the goroutines that tell clients why they are not served; room
// bounds them.
type partings struct {
	room  *semaphore.Weighted
	words sync.WaitGroup
}

// New binds the listeners; clients wait until Run. It fails where an address
// cannot be had, or where the options do not go together.
func New(o Options) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Meter)
	if err != nil {
		return nil, fmt.Errorf("smtp metrics: %w", err)
	}
	s := &Server{
		o: o, metrics: m,
		partings: partings{room: semaphore.NewWeighted(mostPartings)},
		conns:    map[*wire.Conn]struct{}{},
		clients:  map[netip.Prefix]int{},
		idle:     make(chan struct{}),
	}
	s.hard, s.stop = context.WithCancel(context.Background())
	s.SetPolicy(o.Policy)
	s.SetLimits(o.Limits)
	for _, l := range o.Listeners {
		p, err := s.bind(l)
		if err != nil {
			s.closePorts()
			return nil, err
		}
		s.ports = append(s.ports, p)
	}
	return s, nil
}

// SetPolicy exchanges the policy; transactions that have begun go on with it.
func (s *Server) SetPolicy(p Policy) { s.policy.Store(&p) }

// SetLimits exchanges the limits; connections that are open keep theirs, but
// for Received. Zero means the default.
func (s *Server) SetLimits(l Limits) {
	l = l.withDefaults()
	s.limits.Store(&l)
	for _, p := range s.ports {
		p.limit(&l)
	}
}

// Addresses are where the listeners listen, in the order of Options.
func (s *Server) Addresses() []net.Addr {
	var list []net.Addr
	for _, p := range s.ports {
		list = append(list, p.listener.Addr())
	}
	return list
}

// Run takes connections until the server has drained, ctx ends, or a listener
// fails; it closes what is still open then. When it returns nothing of the
// server is running. It is called once.
func (s *Server) Run(ctx context.Context) error {
	defer s.stop()
	end := context.AfterFunc(ctx, s.close)
	defer end()
	var g errgroup.Group
	for _, p := range s.ports {
		g.Go(func() error {
			if err := p.run(); err != nil {
				s.close()
				return err
			}
			return nil
		})
	}
	err := g.Wait()
	if len(s.ports) == 0 {
		s.awaitDrain(ctx)
	}
	<-s.idle
	s.partings.words.Wait()
	return err
}

// awaitDrain keeps a server without listeners running.
func (s *Server) awaitDrain(ctx context.Context) {
	select {
	case <-ctx.Done():
		s.close()
	case <-s.idle:
	}
}

// Drain closes the listeners, ends connections with 421 4.3.2 between
// transactions, lets open ones finish until ctx ends, and closes what is left
// then. It returns when no connection is open; the error is the context's if
// some had to be cut off.
func (s *Server) Drain(ctx context.Context) error {
	s.beginDrain()
	select {
	case <-s.idle:
		return nil
	case <-ctx.Done():
	}
	s.stop()
	<-s.idle
	return ctx.Err()
}

// close ends everything at once.
func (s *Server) close() {
	s.beginDrain()
	s.stop()
}

func (s *Server) beginDrain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return
	}
	s.draining = true
	s.closePorts()
	for c := range s.conns {
		c.Drain()
	}
	if s.open == 0 {
		close(s.idle)
	}
}

func (s *Server) closePorts() {
	for _, p := range s.ports {
		_ = p.listener.Close() // it only frees the address
	}
}

// Why a connection is not served.
var (
	errDraining    = errors.New("this server is shutting down, try another")
	errConnections = errors.New("too many connections, try again later")
	errPerClient   = errors.New("too many connections from your address")
	errPressed     = errors.New("not enough memory now, try again later")
)

// enter counts a connection; leave must follow if it returns nil.
func (s *Server) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return errDraining
	case s.open >= s.limits.Load().Connections:
		return errConnections
	case s.o.Pressed():
		return errPressed
	}
	s.open++
	return nil
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open--; s.open == 0 && s.draining {
		close(s.idle)
	}
}

// join adds a connection whose client is known; part must follow if it returns
// nil.
func (s *Server) join(c *wire.Conn, client netip.Prefix) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return errDraining
	}
	if s.clients[client] >= s.limits.Load().PerClient {
		return errPerClient
	}
	s.clients[client]++
	s.conns[c] = struct{}{}
	return nil
}

func (s *Server) part(c *wire.Conn, client netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.clients[client]--; s.clients[client] == 0 {
		delete(s.clients, client)
	}
}
