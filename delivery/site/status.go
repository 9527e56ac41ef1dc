package site

import "time"

// Status is what a node knows of a site.
type Status struct {
	Key   string
	Hosts []string
	// Connections are open or being opened, of Limit that it would get now.
	Connections, Limit int
	// Rules name those that hold for it. Shared: Share is this node's part of
	// their rates.
	Rules  []string
	Shared bool
	Share  float64
	// Suspended is until when it rests, zero if it does not, and Why.
	Suspended time.Time
	Why       Failure
}

// Status tells what is known of the site.
func (s *Site) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := Status{Key: s.key, Hosts: names(s.target.Hosts), Connections: s.active, Limit: s.limit}
	if s.set.o.Now().Before(s.until) {
		x.Suspended, x.Why = s.until, s.last
	}
	if l := s.allow.Load(); l != nil {
		for _, a := range *l {
			t := a.terms.Load()
			x.Rules = append(x.Rules, t.rule.Name)
			if t.permit != nil && t.rule.Rated() {
				x.Shared, x.Share = true, t.part().Share
			}
		}
	}
	return x
}
