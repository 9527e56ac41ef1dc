package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Options says how a sink works. Zero means a default only where it is said.
type Options struct {
	// Listen is the SMTP address, host:port; port 0 draws one.
	Listen string
	// Mode is how it behaves at first.
	Mode Mode
	// Limit is how many pairs of message and recipient are remembered; 0
	// means 4,000,000, which takes some 300 MB.
	Limit int
	// Idle closes a connection that says nothing for so long; 0 means 5 min.
	Idle time.Duration
}

// Sink is a listening sink.
type Sink struct {
	o       Options
	address string
	tally   *tally
	drops   atomic.Int64 // messages, for Mode.DropEvery

	mu       sync.Mutex // guards all below
	mode     Mode
	listener net.Listener // nil while refusing
	changed  chan struct{}
	// conns are the open connections; true for those held silent.
	conns map[net.Conn]bool
}

// Listen opens the port; nothing is served before Run.
func Listen(o Options) (*Sink, error) {
	if err := o.Mode.check(); err != nil {
		return nil, err
	}
	if o.Limit == 0 {
		o.Limit = 4_000_000
	}
	if o.Idle == 0 {
		o.Idle = 5 * time.Minute
	}
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("opening the sink's port: %w", err)
	}
	s := &Sink{o: o, address: l.Addr().String(), tally: newTally(o.Limit), listener: l,
		changed: make(chan struct{}), conns: map[net.Conn]bool{}}
	return s, s.SetMode(o.Mode)
}

// Address is where it listens, the port filled in.
func (s *Sink) Address() string { return s.address }

// Stats are the counters now.
func (s *Sink) Stats() Stats { return s.tally.snapshot() }

// Each calls f for every pair of message and recipient seen so far, in no
// order, until f fails. Counting waits meanwhile.
func (s *Sink) Each(f func(Seen) error) error { return s.tally.each(f) }

// Mode is how it behaves now.
func (s *Sink) Mode() Mode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mode
}

// SetMode changes how the sink behaves, for open connections too: those that
// were held silent are closed, and Refuse closes all. It fails if the mode is
// no mode, or if the port cannot be opened again.
func (s *Sink) SetMode(m Mode) error {
	if err := m.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Action != Refuse && s.listener == nil {
		l, err := net.Listen("tcp", s.address)
		if err != nil {
			return fmt.Errorf("opening the sink's port again: %w", err)
		}
		s.listener = l
	}
	if m.Action == Refuse && s.listener != nil {
		s.listener.Close()
		s.listener = nil
	}
	for c, silent := range s.conns {
		if m.Action == Refuse || (silent && m.Action != Silent) {
			c.Close()
		}
	}
	s.mode = m
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// Run serves until ctx ends; then every connection is closed.
func (s *Sink) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, s.closeAll)
	defer stop()
	for ctx.Err() == nil {
		l, changed := s.current()
		if l == nil {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			continue // the mode has changed, or ctx has ended
		}
		if err != nil { // too many open files, or the like: it passes
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if !s.enter(ctx, nc) {
			nc.Close()
			continue
		}
		wg.Go(func() {
			defer s.leave(nc)
			newSession(ctx, s, nc).serve()
		})
	}
	return nil
}

func (s *Sink) current() (net.Listener, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listener, s.changed
}

// enter notes a connection; false: it came as the sink was closing.
func (s *Sink) enter(ctx context.Context, nc net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil || s.mode.Action == Refuse {
		return false
	}
	s.conns[nc] = false
	s.tally.add(func(t *Stats) {
		t.Connections++
		t.Open++
		t.Peak = max(t.Peak, t.Open)
	})
	return true
}

func (s *Sink) leave(nc net.Conn) {
	nc.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, nc)
}

// hush marks a connection as held silent; false: the mode is another already.
func (s *Sink) hush(nc net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode.Action != Silent {
		return false
	}
	s.conns[nc] = true
	return true
}

func (s *Sink) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		s.listener.Close()
	}
	for c := range s.conns {
		c.Close()
	}
}
