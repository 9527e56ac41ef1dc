package site

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"quorumta/delivery/limit"
	"quorumta/delivery/route"
	"quorumta/internal/mail"
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

// rules are what the operator allows, and what was learnt, as they were set.
type rules struct {
	find    limit.Rules
	lessons Lessons
}

// Lessons tells what was learnt of a site by its key: the most connections that
// it takes, and the part of what it is allowed; 0: nothing of that.
type Lessons func(key string) (connections int, factor float64)

// SetRules exchanges what the operator allows sites; nil: there are no rules.
// A site is judged anew when mail is routed to it next.
func (s *Set) SetRules(find limit.Rules) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules.Store(&rules{find, s.rules.Load().lessons})
}

// SetLessons exchanges what was learnt, as SetRules; nil: nothing was.
func (s *Set) SetLessons(lessons Lessons) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules.Store(&rules{s.rules.Load().find, lessons})
}

// allowance is what a rule says of a site, or of an address that mail leaves
// from: all sites with the same key share it.
type allowance struct {
	terms atomic.Pointer[terms]
	pace  limit.Pace

	mu     sync.Mutex
	active int // connections
}

// terms are a rule, and what this node holds of what it shares: nil where it
// shares nothing, or there is no cluster.
type terms struct {
	rule   *limit.Rule
	permit Permit
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
	p := PlaceOf(s.target, origin)
	var site, address *limit.Rule
	if now.find != nil {
		site, address = now.find(p)
	}
	if now.lessons != nil {
		if connections, factor := now.lessons(s.key); connections > 0 || factor > 0 {
			if site == nil {
				site = &limit.Rule{}
			}
			site = site.Eased(connections, factor, s.mostLocked())
		}
	}
	var found allowances
	if site != nil {
		found = append(found, s.set.allowanceLocked("site/"+p.Key, site))
	}
	if address != nil && p.Address != "" {
		found = append(found, s.set.allowanceLocked("address/"+p.Address, address))
	}
	s.allow.Store(&found)
	if len(found) == 0 {
		s.allow.Store(nil)
	}
}

// PlaceOf is a target as rules see it.
func PlaceOf(t route.Target, origin Origin) limit.Place {
	// What TLS must be like makes sites apart, and no difference to the hosts.
	key := strings.TrimSuffix(t.Key, policyOf(t).Class(names(t.Hosts)))
	p := limit.Place{Key: key, Hosts: names(t.Hosts), Router: origin.Router, Domain: origin.Domain}
	if w := t.Way; w != nil {
		p.Key = strings.TrimSuffix(key, w.Key)
		p.Address = source(t)
	}
	return p
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

// allowanceLocked is what is known under the key, by the rule from now on.
func (s *Set) allowanceLocked(key string, rule *limit.Rule) *allowance {
	a := s.allowed[key]
	if a == nil {
		a = &allowance{}
		s.allowed[key] = a
	}
	t := &terms{rule: rule}
	if rule.Shared() && s.o.Permit != nil {
		t.permit = s.o.Permit(key, rule.Connections)
	}
	a.terms.Store(t)
	return a
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

// want tells that there is mail: others may have what nobody wants.
func (l allowances) want() {
	for _, a := range l {
		if t := a.terms.Load(); t.rule.Rated() {
			t.part()
		}
	}
}

// begin asks for one more connection, of so many that the site would take.
func (l allowances) begin(wanted int, now time.Time) bool {
	for _, a := range l {
		if t := a.terms.Load(); t.rule.Rated() && !a.pace.Ready(t.rule, t.part(), now, soon) {
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
	t := a.terms.Load()
	for _, most := range []int{t.rule.PerNode, t.rule.Connections} {
		if most > 0 && a.active >= most {
			return false
		}
		if most > 0 {
			wanted = min(wanted, most)
		}
	}
	if t.permit != nil && !t.permit.Connection(a.active, wanted) {
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
		if t := a.terms.Load(); t.permit != nil {
			t.permit.Ended(a.active)
		}
		a.mu.Unlock()
	}
}

// keeps reports whether the node may keep the connections that it has.
func (a *allowance) keeps(t *terms) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return t.permit == nil || t.rule.Connections == 0 || t.permit.Keeps(a.active)
}

// part is this node's part of the rates.
func (t *terms) part() limit.Part {
	if t.permit == nil {
		return limit.Part{Share: 1, Nodes: 1}
	}
	share, nodes := t.permit.Rates()
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
	now := s.set.o.Now()
	for i, a := range *l {
		w, ok := a.take(recipients, now, patience)
		if !ok {
			(*l)[:i].giveBack(recipients)
			return 0, false
		}
		wait = max(wait, w)
	}
	return wait, true
}

func (a *allowance) take(recipients int, now time.Time, patience time.Duration) (time.Duration, bool) {
	t := a.terms.Load()
	if !a.keeps(t) {
		return 0, false
	}
	if !t.rule.Rated() {
		return 0, true
	}
	return a.pace.Take(t.rule, t.part(), recipients, now, patience)
}

// Await takes the right as Take does, and waits as long as that says; no where
// ctx ends before.
func (s *Site) Await(ctx context.Context, recipients int, patience time.Duration) bool {
	wait, ok := s.Take(recipients, patience)
	if !ok || wait == 0 {
		return ok
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Return gives back the right to a message that was not sent.
func (s *Site) Return(recipients int) {
	if l := s.allow.Load(); l != nil {
		l.giveBack(recipients)
	}
}

func (l allowances) giveBack(recipients int) {
	for _, a := range l {
		if t := a.terms.Load(); t.rule.Rated() {
			a.pace.Return(t.rule, recipients)
		}
	}
}

// Heard is what follows from a server's answer, by which rule; nil: nothing.
func (s *Site) Heard(r mail.Reply) (pattern *limit.Pattern, rule string) {
	l := s.allow.Load()
	if l == nil {
		return nil, ""
	}
	for _, a := range *l {
		t := a.terms.Load()
		if p := limit.Heard(t.rule.Patterns, r); p != nil {
			return p, t.rule.Name
		}
	}
	return nil, ""
}

// Names are the key of the site and the names of its hosts.
func (s *Site) Names() (key string, hosts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key, names(s.target.Hosts)
}

// scarceIdle is how long a connection may be idle where all nodes share what the
// site gets: another node may be waiting for it.
const scarceIdle = 250 * time.Millisecond

// Idle is how long a connection may wait for the next message, most at most.
func (s *Site) Idle(most time.Duration) time.Duration {
	if l := s.allow.Load(); l != nil {
		for _, a := range *l {
			if t := a.terms.Load(); t.permit != nil && t.rule.Connections > 0 {
				most = min(most, scarceIdle)
			}
		}
	}
	return most
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
			if n := of(a.terms.Load().rule); n > 0 {
				most = min(most, n)
			}
		}
	}
	return most
}
