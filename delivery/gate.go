package delivery

import "sync"

// gate bounds how many messages for one domain are being routed, so that a
// domain with slow DNS leaves room for the others.
type gate struct {
	most   int
	mu     sync.Mutex
	inside map[string]int
}

func (g *gate) enter(domain string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside[domain] >= g.most {
		return false
	}
	g.inside[domain]++
	return true
}

func (g *gate) leave(domain string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside[domain]--; g.inside[domain] == 0 {
		delete(g.inside, domain)
	}
}
