package mtasts

import (
	"context"
	"sync"
	"time"
)

// Remembered is a policy that was fetched, and may be followed until Until.
type Remembered struct {
	Policy Policy
	// ID is that of the TXT record which announced the policy.
	ID string
	// Fetched is when; Until is Policy.MaxAge later.
	Fetched, Until time.Time
}

// Cache keeps policies beyond the life of a process, for all nodes together.
// It is called from many goroutines and may fail as it likes: what it does not
// know is fetched again, and every process remembers for itself.
type Cache interface {
	// Load returns what is remembered of a domain, over or not.
	Load(ctx context.Context, domain string) (Remembered, bool)
	// Store remembers a policy until it ends.
	Store(ctx context.Context, domain string, r Remembered)
}

// mostRemembered bounds the memory of a process.
const mostRemembered = 16384

// Memory is a Cache of this process alone; the zero Memory is empty.
type Memory struct {
	mu       sync.Mutex
	policies map[string]Remembered
}

// Load implements Cache.
func (m *Memory) Load(_ context.Context, domain string) (Remembered, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.policies[domain]
	return r, ok
}

// Store implements Cache. A full memory gives up the policy of a few that ends
// first.
func (m *Memory) Store(_ context.Context, domain string, r Remembered) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.policies == nil {
		m.policies = map[string]Remembered{}
	}
	if _, ok := m.policies[domain]; !ok && len(m.policies) >= mostRemembered {
		m.forgetLocked()
	}
	m.policies[domain] = r
}

func (m *Memory) forgetLocked() {
	victim, seen := "", 0
	for domain, r := range m.policies { // Go's order is random
		if seen == 0 || r.Until.Before(m.policies[victim].Until) {
			victim = domain
		}
		if seen++; seen == 16 {
			break
		}
	}
	delete(m.policies, victim)
}

// stale lists the domains whose policies are still good and were fetched
// before a time.
func (m *Memory) stale(before, now time.Time) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var domains []string
	for domain, r := range m.policies {
		if now.Before(r.Until) && r.Fetched.Before(before) {
			domains = append(domains, domain)
		}
	}
	return domains
}
