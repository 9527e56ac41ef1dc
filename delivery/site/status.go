package site

import (
	"time"

	"quorumta/delivery/limit"
)

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
	// Used are the rules, and what is used of them.
	Used []Used
}

// Used is how much this node uses of what a rule allows a site, or the address
// that its mail leaves from.
type Used struct {
	Rule limit.Rule
	// Connections are the node's own; what other nodes have of the rule is not
	// known here.
	Connections int
	// Wait is how long a message has to wait for the rates; None: this node has no
	// part of them now.
	Wait time.Duration
	None bool
}

func (a *allowance) used(now time.Time) Used {
	t := a.terms.Load()
	a.mu.Lock()
	u := Used{Rule: *t.rule, Connections: a.active}
	a.mu.Unlock()
	if t.rule.Rated() {
		wait, ok := a.pace.Wait(t.rule, t.part(), now)
		u.Wait, u.None = wait, !ok
	}
	return u
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
			x.Used = append(x.Used, a.used(s.set.o.Now()))
			if t.permit != nil && t.rule.Rated() {
				x.Shared, x.Share = true, t.part().Share
			}
		}
	}
	return x
}
