// Package own knows where this relay itself takes mail: at its own listeners
// and at those of the other members. Mail that is sent there comes back, fifty
// times, until the count of its Received fields ends it; so nothing is.
//
// A listener is known by the addresses and the port that it answers at. Each
// node tells the others of its own, and keeps what it heard last of a member
// that does not answer.
package own

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// interval is how often addresses are looked up again, here and at the
	// other members.
	interval = 30 * time.Second
	// first is how soon members are asked again that have never answered; it
	// doubles up to interval.
	first = time.Second
	// askTime bounds one question to a member.
	askTime = 2 * time.Second
	// mostPlaces bounds what one member may claim as its own.
	mostPlaces = 1000
)

// Options say who is asked. Zero means a default only where it is said.
type Options struct {
	// Name is this node's.
	Name string
	// Listeners are the addresses that this node's listeners are bound to.
	Listeners func() []net.Addr
	// Interfaces are the machine's addresses; nil asks the system.
	Interfaces func() ([]netip.Addr, error)
	// Members are the names of the members, and the addresses of their ports
	// for each other.
	Members func() map[string]string
	// Ask asks another member for its Here; called from one goroutine at a
	// time.
	Ask func(ctx context.Context, member string) ([]netip.AddrPort, error)
}

// Places are where the relay listens; safe for concurrent use.
type Places struct {
	o Options

	mu sync.Mutex
	// by is whose place it is.
	by map[netip.AddrPort]string
	// heard is what each member said last.
	heard map[string][]netip.AddrPort
}

// New makes the places of a relay, of which nothing is known until Run.
func New(o Options) *Places {
	if o.Interfaces == nil {
		o.Interfaces = interfaces
	}
	return &Places{o: o, heard: map[string][]netip.AddrPort{}}
}

// Whose is the member that listens there; ok is false where none of us does.
func (p *Places) Whose(a netip.AddrPort) (member string, ok bool) {
	a = netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
	p.mu.Lock()
	defer p.mu.Unlock()
	member, ok = p.by[a]
	if !ok && a.Addr().IsLoopback() { // all of 127.0.0.0/8 is this machine
		member, ok = p.by[netip.AddrPortFrom(anyLoopback(), a.Port())]
	}
	return member, ok
}

// anyLoopback stands for the whole network of the machine itself.
func anyLoopback() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 0}) }

// Here is where this node listens, each address that reaches its listeners.
func (p *Places) Here() ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	for _, l := range p.o.Listeners() {
		tcp, ok := l.(*net.TCPAddr)
		if !ok {
			continue
		}
		at := tcp.AddrPort()
		if !at.Addr().IsUnspecified() {
			all = append(all, netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port()))
			continue
		}
		addrs, err := p.o.Interfaces()
		if err != nil {
			return nil, fmt.Errorf("list the machine's addresses: %w", err)
		}
		for _, a := range append(addrs, anyLoopback(), netip.IPv6Loopback()) {
			all = append(all, netip.AddrPortFrom(a.Unmap().WithZone(""), at.Port()))
		}
	}
	return all, nil
}

// Run keeps the places known until ctx ends.
func (p *Places) Run(ctx context.Context) {
	again := first
	for {
		wait := interval
		if !p.look(ctx) {
			wait, again = again, min(2*again, interval)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// look asks everybody once; false while a member has never answered.
func (p *Places) look(ctx context.Context) (all bool) {
	all = true
	members := p.o.Members()
	heard := map[string][]netip.AddrPort{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		places, err := p.ask(ctx, name, members[name])
		switch {
		case err == nil && len(places) <= mostPlaces:
			heard[name] = places
		case p.heard[name] != nil:
			heard[name] = p.heard[name]
		default:
			all = false
		}
	}
	by := map[netip.AddrPort]string{}
	for _, name := range slices.Sorted(maps.Keys(heard)) {
		for _, a := range heard[name] {
			by[a] = name
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.by, p.heard = by, heard
	return all
}

// ask is where a member listens, as seen from here: another machine's loopback
// is not ours.
func (p *Places) ask(ctx context.Context, name, address string) ([]netip.AddrPort, error) {
	if name == p.o.Name {
		return p.Here()
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	places, err := p.o.Ask(ctx, name)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(address)
	if at, err := netip.ParseAddr(host); err == nil && at.IsLoopback() {
		return places, nil
	}
	return slices.DeleteFunc(places, func(a netip.AddrPort) bool { return a.Addr().IsLoopback() }), nil
}

// interfaces are the machine's addresses.
func interfaces() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				addrs = append(addrs, addr.Unmap())
			}
		}
	}
	return addrs, nil
}
