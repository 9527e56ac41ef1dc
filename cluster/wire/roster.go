package wire

import (
	"context"
	"fmt"
	"maps"
	"net"
	"sync"
)

// roster is who the members are, and the open connections of each.
type roster struct {
	mu      sync.Mutex        // guards the rest, and the owner of every connection
	members map[string]string // name and address; never changed in place
	open    map[*held]struct{}
}

func newRoster(members map[string]string) *roster {
	return &roster{members: maps.Clone(members), open: map[*held]struct{}{}}
}

// held is a connection, below TLS, that ends when its member is no longer one.
type held struct {
	net.Conn
	roster *roster
	name   string // the member's; "" while it is not known
	dialed string // the address that was dialed; "" inbound
}

// Close implements net.Conn.
func (h *held) Close() error {
	h.roster.mu.Lock()
	delete(h.roster.open, h)
	h.roster.mu.Unlock()
	return h.Conn.Close()
}

// hold begins to look after a connection.
func (r *roster) hold(conn net.Conn, name, dialed string) *held {
	h := &held{conn, r, name, dialed}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[h] = struct{}{}
	return h
}

// own says whose connection it is; false means that it is no member's.
func (r *roster) own(h *held, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.members[name]; !ok {
		return false
	}
	h.name = name
	return true
}

// address is a member's.
func (r *roster) address(name string) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.members[name]
	return a, ok
}

// set replaces the members and returns the connections that must end: of who
// is no member any more, and to where a member no longer is.
func (r *roster) set(members map[string]string) []*held {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = maps.Clone(members)
	var over []*held
	for h := range r.open {
		address, ok := members[h.name]
		if h.name != "" && (!ok || (h.dialed != "" && h.dialed != address)) {
			over = append(over, h)
		}
	}
	return over
}

// SetMembers replaces name and address of all nodes. Connections of who is no
// member any more are closed, and so are those to an address that a member has
// left; who is not a member is not let in.
func (p *Port) SetMembers(members map[string]string) {
	for _, h := range p.roster.set(members) {
		p.o.Log.Info("cluster connection closed: the member has gone or moved", "member", h.name, "peer", h.RemoteAddr().String())
		_ = h.Close()
	}
}

// connect opens a plain connection to a member.
func (p *Port) connect(ctx context.Context, name string) (*held, error) {
	address, ok := p.roster.address(name)
	if !ok {
		return nil, fmt.Errorf("dial %s: no such member", name)
	}
	conn, err := p.o.Network.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	h := p.roster.hold(conn, name, address)
	if now, _ := p.roster.address(name); now != address {
		_ = h.Close()
		return nil, fmt.Errorf("dial %s: it has moved", name)
	}
	return h, nil
}
