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
	notes map[netip.AddrPort]note
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

func newHealth(o Options) *health { return &health{o: o, notes: map[netip.AddrPort]note{}} }

func at(h route.Host) netip.AddrPort { return netip.AddrPortFrom(h.Addr, h.Port) }

func (h *health) dead(host route.Host) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.o.Now().Before(h.notes[at(host)].dead)
}

func (h *health) clear(host route.Host) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.o.Now().Before(h.notes[at(host)].clear)
}

func (h *health) failed(host route.Host) {
	h.change(host, func(n *note) {
		n.dead = h.o.Now().Add(backoff(n.failures, 4*h.o.Suspend, h.o.SuspendMost))
		n.failures++
	})
}

func (h *health) badTLS(host route.Host) {
	h.change(host, func(n *note) { n.clear = h.o.Now().Add(clearFor) })
}

func (h *health) worked(host route.Host) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n, ok := h.notes[at(host)]
	if !ok {
		return
	}
	n.failures, n.dead = 0, time.Time{}
	h.notes[at(host)] = n
}

func (h *health) change(host route.Host, f func(*note)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.notes) >= mostNotes {
		h.forgetLocked()
	}
	n := h.notes[at(host)]
	f(&n)
	h.notes[at(host)] = n
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
