package site

import (
	"net/netip"
	"sync"
	"time"

	"quorumta/delivery/route"
)

// health remembers bad experiences with addresses, whatever site they belong
// to.
type health struct {
	o     Options
	mu    sync.Mutex
	notes map[place]note
}

// note is what is known of an address; it is forgotten when both times have
// passed.
type note struct {
	failures int
	// dead: not tried before then if there is another.
	dead time.Time
	// clear: its TLS does not work; opportunistic mail goes in the clear
	// until then.
	clear time.Time
}

// mostNotes bounds the memory.
const mostNotes = 16384

// clearFor is how long an address whose STARTTLS failed is not asked again.
const clearFor = 10 * time.Minute

func newHealth(o Options) *health { return &health{o: o, notes: map[place]note{}} }

// place is an address as one way of ours finds it: who is turned away as one
// sender may be welcome as another.
type place struct {
	addr netip.AddrPort
	way  string
}

func (c *call) at(h route.Host) place {
	p := place{addr: netip.AddrPortFrom(h.Addr, h.Port)}
	if c.target.Way != nil {
		p.way = c.target.Way.Key
	}
	return p
}

func (h *health) dead(at place) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.o.Now().Before(h.notes[at].dead)
}

func (h *health) clear(at place) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.o.Now().Before(h.notes[at].clear)
}

func (h *health) failed(at place) {
	h.change(at, func(n *note) {
		n.dead = h.o.Now().Add(backoff(n.failures, 4*h.o.Suspend, h.o.SuspendMost))
		n.failures++
	})
}

func (h *health) badTLS(at place) {
	h.change(at, func(n *note) { n.clear = h.o.Now().Add(clearFor) })
}

func (h *health) worked(at place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, ok := h.notes[at]
	if !ok {
		return
	}
	n.failures, n.dead = 0, time.Time{}
	h.notes[at] = n
}

func (h *health) change(at place, f func(*note)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.notes) >= mostNotes {
		h.forgetLocked()
	}
	n := h.notes[at]
	f(&n)
	h.notes[at] = n
}

// forgetLocked drops what has passed, or everything where that is not enough.
func (h *health) forgetLocked() {
	now := h.o.Now()
	for a, n := range h.notes {
		if now.After(n.dead) && now.After(n.clear) {
			delete(h.notes, a)
		}
	}
	if len(h.notes) >= mostNotes {
		clear(h.notes)
	}
}
