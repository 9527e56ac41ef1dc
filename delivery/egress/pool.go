package egress

import (
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"quorumta/internal/mail"
)

// Pool is a set of addresses that share the mail.
type Pool struct {
	Addresses []Address
}

// Address is one of a pool: what servers see as one sender.
type Address struct {
	// Name is its own in the pool; it stands in the keys of sites.
	Name string
	// Addrs are one of a family, or one of each.
	Addrs []netip.Addr
	// Helo is what we say in EHLO; "" means the node's host name.
	Helo string
	// Weight is its share beside the others'; 0 means 1.
	Weight int
	// Nodes have it; nil: whichever finds it on an interface.
	Nodes []string
}

func (a *Address) on(node string) bool { return len(a.Nodes) == 0 || slices.Contains(a.Nodes, node) }

// choose is an address for a message among those that are usable, in the
// proportion of their weights; nil where none is. When one is lost, only its
// messages move.
func (p *Pool) choose(id mail.MessageID, usable func(*Address) bool) *Address {
	var chosen *Address
	most := math.Inf(-1)
	for i := range p.Addresses {
		a := &p.Addresses[i]
		if !usable(a) {
			continue
		}
		// Weighted rendezvous hashing: of -w/ln(u) the largest wins with a
		// probability in proportion to w, u being even between 0 and 1.
		u := (float64(xxhash.Sum64String(string(id)+" "+a.Name)>>11) + 0.5) / (1 << 53)
		if score := -float64(max(1, a.Weight)) / math.Log(u); score > most {
			chosen, most = a, score
		}
	}
	return chosen
}

// Interfaces knows the addresses of this machine; safe for concurrent use. They
// are read again after a while: a shared address moves from node to node.
type Interfaces struct {
	mu    sync.Mutex
	read  time.Time
	known map[netip.Addr]bool
}

// freshFor is how long what was read of interfaces counts.
const freshFor = 5 * time.Second

// Has reports whether the machine has an address. The whole of 127.0.0.0/8 is
// its own. Where interfaces cannot be read it has all: connecting will tell.
func (i *Interfaces) Has(addr netip.Addr) bool {
	if addr = addr.Unmap().WithZone(""); addr.Is4() && addr.IsLoopback() {
		return true
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if now := time.Now(); i.known == nil || now.Sub(i.read) > freshFor {
		list, err := net.InterfaceAddrs()
		if err != nil {
			return true
		}
		i.read, i.known = now, map[netip.Addr]bool{}
		for _, a := range list {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				i.known[p.Addr().Unmap()] = true
			}
		}
	}
	return i.known[addr]
}
