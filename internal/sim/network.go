package sim

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// Network joins hosts by connections in memory. A host is a name; addresses
// are plain strings that whoever listens first owns.
//
// A cut link loses nothing that was written: as with TCP, it arrives when the
// link heals, unless a side gave up. All methods are safe for concurrent use.
type Network struct {
	mu        sync.Mutex
	changed   *sync.Cond // on mu: a link, a host or a listener has changed
	listeners map[string]*listener
	conns     map[*conn]struct{}
	cut       map[link]bool
	paused    map[string]bool
	mute      map[string]bool
	late      map[string]func(Sent) time.Duration
	hosts     map[string]*Host // the living one of each name
}

// link is one direction between two hosts.
type link struct{ from, to string }

// NewNetwork makes a network without hosts.
func NewNetwork() *Network {
	n := &Network{
		listeners: map[string]*listener{},
		conns:     map[*conn]struct{}{},
		cut:       map[link]bool{},
		paused:    map[string]bool{},
		mute:      map[string]bool{},
		late:      map[string]func(Sent) time.Duration{},
		hosts:     map[string]*Host{},
	}
	n.changed = sync.NewCond(&n.mu)
	return n
}

// stirLocked has everybody look again who waits.
func (n *Network) stirLocked() {
	n.changed.Broadcast()
	for c := range n.conns {
		c.in.changed.Broadcast()
		c.out.changed.Broadcast()
	}
}

// Host is one run of one machine on the network.
type Host struct {
	net  *Network
	name string
	dead bool // owned by net.mu
}

// Host gives access to the network as the named machine, until it crashes:
// what goes on running of a crashed machine is cut off for good, and its next
// run asks for a Host again.
func (n *Network) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hosts[name]
	if h == nil {
		h = &Host{net: n, name: name}
		n.hosts[name] = h
	}
	return h
}

// Cut stops what a and b send to each other.
func (n *Network) Cut(a, b string) {
	n.CutOneWay(a, b)
	n.CutOneWay(b, a)
}

// CutOneWay stops what from sends to to.
func (n *Network) CutOneWay(from, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[link{from, to}] = true
	n.stirLocked()
}

// Mute stops what host sends over the connections that it has made itself, and
// the making of others: those that others have made to it work on.
func (n *Network) Mute(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mute[host] = true
	n.stirLocked()
}

// Sent is what one Write has put on its way.
type Sent struct {
	From, To string
	// Opening is what whoever made the connection wrote first: at most 256
	// bytes of it, and Data itself if that is the first.
	Opening []byte
	Data    []byte
	// Back tells that To has made the connection.
	Back bool
}

// Delay has what is sent to host from now on arrive later by as much as late
// says of it, but not before what was sent over the same connection earlier.
// late keeps nothing of what it is shown, does not use the network, and is
// called by one goroutine at a time.
func (n *Network) Delay(host string, late func(Sent) time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.late[host] = late
}

// Heal restores all links. What is under way arrives when it would have.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
	clear(n.mute)
	clear(n.late)
	n.stirLocked()
}

// Pause keeps the host from reading and writing, as SIGSTOP would, until
// Resume: what it writes meanwhile is not sent before. Its timers go on, which
// a stopped process's would not.
func (n *Network) Pause(host string) { n.setPaused(host, true) }

// Resume ends Pause.
func (n *Network) Resume(host string) { n.setPaused(host, false) }

func (n *Network) setPaused(host string, paused bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.paused[host] = paused
	n.stirLocked()
}

// Crash resets every connection of the host and closes its listeners, as the
// kernel does when a process dies.
func (n *Network) Crash(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.hosts[host]; h != nil {
		h.dead = true
		delete(n.hosts, host)
	}
	for address, l := range n.listeners {
		if l.host == host {
			l.closed = true
			delete(n.listeners, address)
		}
	}
	for c := range n.conns {
		if c.in.from == host || c.in.to == host {
			c.in.err, c.out.err = syscall.ECONNRESET, syscall.ECONNRESET
			c.in.changed.Broadcast()
			c.out.changed.Broadcast()
			delete(n.conns, c)
		}
	}
	n.changed.Broadcast()
}

// blockedLocked reports whether what from sends does not reach to.
func (n *Network) blockedLocked(from, to string) bool {
	return n.cut[link{from, to}] || n.paused[from] || n.paused[to]
}

// stoppedLocked reports whether nothing passes through the pipe.
func (n *Network) stoppedLocked(p *pipe) bool {
	return n.blockedLocked(p.from, p.to) || (p == p.forth && n.mute[p.from])
}

// Listen takes the address.
func (h *Host) Listen(address string) (net.Listener, error) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if h.dead {
		return nil, fmt.Errorf("listen %s: %w", address, syscall.ENETDOWN)
	}
	if n.listeners[address] != nil {
		return nil, fmt.Errorf("listen %s: %w", address, syscall.EADDRINUSE)
	}
	l := &listener{net: n, host: h.name, address: address}
	n.listeners[address] = l
	return l, nil
}

// Dial connects to whoever listens on the address. Over a cut link it waits
// until the context ends; where nobody listens it is refused at once.
func (h *Host) Dial(ctx context.Context, address string) (net.Conn, error) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.changed.Broadcast()
	})
	defer stop()
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("dial %s: %w", address, err)
		}
		if h.dead {
			return nil, fmt.Errorf("dial %s: %w", address, syscall.ENETDOWN)
		}
		if n.paused[h.name] || n.mute[h.name] {
			n.changed.Wait()
			continue
		}
		l := n.listeners[address]
		if l == nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: addr(address), Err: syscall.ECONNREFUSED}
		}
		if !n.blockedLocked(h.name, l.host) && !n.blockedLocked(l.host, h.name) {
			return n.connectLocked(h.name, l), nil
		}
		n.changed.Wait()
	}
}

// connectLocked makes the two ends of a connection and hands one to l.
func (n *Network) connectLocked(from string, l *listener) net.Conn {
	forth := n.pipe(from, l.host)
	back := n.pipe(l.host, from)
	forth.forth, back.forth = forth, forth
	near := &conn{net: n, in: back, out: forth, local: addr(from), remote: addr(l.address)}
	far := &conn{net: n, in: forth, out: back, local: addr(l.address), remote: addr(from)}
	n.conns[near], n.conns[far] = struct{}{}, struct{}{}
	l.waiting = append(l.waiting, far)
	n.changed.Broadcast()
	return near
}

func (n *Network) pipe(from, to string) *pipe {
	return &pipe{net: n, from: from, to: to, changed: sync.NewCond(&n.mu)}
}

// addr is an address on the network.
type addr string

// Network implements net.Addr.
func (addr) Network() string { return "sim" }

// String implements net.Addr.
func (a addr) String() string { return string(a) }

// listener is an address that is listened on.
type listener struct {
	net     *Network
	host    string
	address string
	// Owned by net.mu.
	waiting []*conn
	closed  bool
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	for {
		if l.closed {
			return nil, net.ErrClosed
		}
		if len(l.waiting) > 0 && !l.net.paused[l.host] {
			c := l.waiting[0]
			l.waiting = l.waiting[1:]
			return c, nil
		}
		l.net.changed.Wait()
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	if !l.closed {
		l.closed = true
		delete(l.net.listeners, l.address)
		for _, c := range l.waiting {
			c.closeLocked()
		}
	}
	l.net.changed.Broadcast()
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return addr(l.address) }
