package site

import (
	"strings"
	"sync"
	"time"

	"quorumta/delivery/limit"
	"quorumta/delivery/route"
)

// Permit is what this node holds of a limit that the cluster shares. It is
// asked under a lock, from many goroutines, and never waits.
type Permit interface {
	// Connection says whether one more may be begun beside those that are;
	// wanted is how many the site would take.
	Connection(active, wanted int) bool
	// Keeps says whether so many may stay.
	Keeps(active int) bool
	// Ended tells how many are left.
	Ended(active int)
	// Rates is this node's share of the rates, which are divided among so many
	// nodes at most.
	Rates() (share float64, nodes int)
}

// rules are what the operator allows, as they were set.
type rules struct{ find limit.Rules }

// SetRules exchanges what the operator allows sites; nil: there are no rules.
// A site is judged anew when mail is routed to it next.
func (s *Set) SetRules(find limit.Rules) { s.rules.Store(&rules{find}) }

// allowance is what a rule says of a site, or of an address that mail leaves
// from: all sites with the same key share it.
type allowance struct {
	rule   *limit.Rule
	permit Permit // nil where the rule shares nothing, or there is no cluster
	pace   limit.Pace

	mu     sync.Mutex
	active int // connections
}

// allowances are those of one site.
type allowances []*allowance

// judgeLocked finds the rules for the site, once for all that are set; the set is
// locked too.
func (s *Site) judgeLocked(origin Origin) {
	now := s.set.rules.Load()
	if now == s.judged {
		return
	}
	s.judged = now
	// What TLS must be like makes sites apart, and no difference to the hosts.
	key := strings.TrimSuffix(s.key, policyOf(s.target).Class(names(s.target.Hosts)))
	p := limit.Place{Key: key, Hosts: names(s.target.Hosts), Router: origin.Router, Domain: origin.Domain}
	if w := s.target.Way; w != nil {
		p.Key = strings.TrimSuffix(key, w.Key)
		p.Address = source(s.target)
	}
	var found allowances
	if now != nil && now.find != nil {
		site, address := now.find(p)
		if site != nil {
			found = append(found, s.set.allowanceLocked("site/"+p.Key, site))
		}
		if address != nil && p.Address != "" {
			found = append(found, s.set.allowanceLocked("address/"+p.Address, address))
		}
	}
	s.allow.Store(&found)
	if len(found) == 0 {
		s.allow.Store(nil)
	}
}

// source is the address that the mail of a target leaves from; "" where the
// system chooses.
func source(t route.Target) string {
	switch w := t.Way; {
	case w == nil:
		return ""
	case w.From4.IsValid():
		return w.From4.String()
	case w.From6.IsValid():
		return w.From6.String()
	}
	return ""
}

// allowanceLocked is what is known under the key, by the rule. One whose rule has
// changed keeps its connections, which End gives back.
func (s *Set) allowanceLocked(key string, rule *limit.Rule) *allowance {
	a := s.allowed[key]
	if a != nil && *a.rule == *rule {
		return a
	}
	next := &allowance{rule: rule}
	if rule.Shared() && s.o.Permit != nil {
		next.permit = s.o.Permit(key, rule.Connections)
	}
	s.allowed[key] = next
	return next
}

// names are those of the hosts, each once.
func names(hosts []route.Host) []string {
	var list []string
	for i, h := range hosts {
		if i == 0 || h.Name != hosts[i-1].Name {
			list = append(list, h.Name)
		}
	}
	return list
}

// soon is how long a message that is let go may still have to wait.
const soon = 250 * time.Millisecond

// begin asks for one more connection, of so many that the site would take.
func (l allowances) begin(wanted int, now time.Time) bool {
	for _, a := range l {
		if a.rule.Rated() && !a.pace.Ready(a.rule, a.part(), now, soon) {
			return false
		}
	}
	for i, a := range l {
		if !a.begin(wanted) {
			l[:i].end()
			return false
		}
	}
	return true
}

func (a *allowance) begin(wanted int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, most := range []int{a.rule.PerNode, a.rule.Connections} {
		if most > 0 && a.active >= most {
			return false
		}
		if most > 0 {
			wanted = min(wanted, most)
		}
	}
	if a.permit != nil && !a.permit.Connection(a.active, wanted) {
		return false
	}
	a.active++
	return true
}

// end gives a connection back.
func (l allowances) end() {
	for _, a := range l {
		a.mu.Lock()
		a.active--
		if a.permit != nil {
			a.permit.Ended(a.active)
		}
		a.mu.Unlock()
	}
}

// keeps reports whether the node may keep the connections that it has.
func (a *allowance) keeps() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.permit == nil || a.permit.Keeps(a.active)
}

// part is this node's part of the rates.
func (a *allowance) part() limit.Part {
	if a.permit == nil {
		return limit.Part{Share: 1, Nodes: 1}
	}
	share, nodes := a.permit.Rates()
	return limit.Part{Share: share, Nodes: max(nodes, 1)}
}

// Take takes the right to send a message to so many recipients over an open
// connection, or one that is about to be made. It says how long to wait first;
// no where that is longer than patience, or where the node has too many
// connections: the job waits on, without one.
func (s *Site) Take(recipients int, patience time.Duration) (wait time.Duration, ok bool) {
	l := s.allow.Load()
	if l == nil {
		return 0, true
	}
	for _, a := range *l {
		if a.rule.Connections > 0 && !a.keeps() {
			return 0, false
		}
		if !a.rule.Rated() {
			continue
		}
		w, ok := a.pace.Take(a.rule, a.part(), recipients, s.set.o.Now(), patience)
		if !ok {
			return 0, false
		}
		wait = max(wait, w)
	}
	return wait, true
}

// Messages is how many messages a connection carries, most at most.
func (s *Site) Messages(most int) int {
	return s.least(most, func(r *limit.Rule) int { return r.MessagesPerConnection })
}

// Recipients is how many a message has, most at most.
func (s *Site) Recipients(most int) int {
	s.mu.Lock()
	target := s.target
	s.mu.Unlock()
	if how, ok := s.set.transport(target); ok && how.Recipients > 0 {
		most = min(most, how.Recipients)
	}
	return s.least(most, func(r *limit.Rule) int { return r.RecipientsPerMessage })
}

func (s *Site) least(most int, of func(*limit.Rule) int) int {
	if l := s.allow.Load(); l != nil {
		for _, a := range *l {
			if n := of(a.rule); n > 0 {
				most = min(most, n)
			}
		}
	}
	return most
}
