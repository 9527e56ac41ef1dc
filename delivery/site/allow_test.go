package site

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/delivery/egress"
	"quorumta/delivery/limit"
	"quorumta/delivery/route"
	"quorumta/internal/tlspolicy"
)

// permit gives a node so many connections, and a share of the rates.
type permit struct {
	connections, active int
	share               float64
}

func (p *permit) Connection(active, _ int) bool {
	if active >= p.connections {
		return false
	}
	p.active = active + 1
	return true
}
func (p *permit) Keeps(active int) bool         { return active <= p.connections }
func (p *permit) Ended(active int)              { p.active = active }
func (p *permit) Rates() (share float64, n int) { return p.share, 3 }

// A site gets what its rule and the cluster allow, and no more; one without a
// rule gets what it got.
func TestRulesLimitSites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{hosts: map[string]func(net.Conn){"192.0.2.1": healthy()}}
		cluster := &permit{connections: 2, share: 0.5}
		set := New(Options{Dial: n.dial, Permit: func(key string, connections int) Permit {
			if key != "site/big" || connections != 10 {
				t.Errorf("asked for %s, %d", key, connections)
			}
			return cluster
		}})
		var asked []limit.Place
		rule := &limit.Rule{Name: "big", Connections: 10, PerNode: 3, MessagesPerMinute: 60, MessagesPerConnection: 7, RecipientsPerMessage: 8}
		set.SetRules(func(p limit.Place) (site, address *limit.Rule) {
			asked = append(asked, p)
			if p.Key == "big" {
				return rule, nil
			}
			return nil, nil
		})
		reach := func(key string) *Site {
			where := target(route.TLSOff, host("a", "192.0.2.1", 0))
			where.Key = key
			return set.Reach(where, Origin{Router: "internet", Domain: key + ".example"})
		}
		other := reach("other")
		for range 5 {
			if !other.Begin() {
				t.Fatal("a site without a rule is held back")
			}
		}
		if wait, ok := other.Take(1000, 0); wait != 0 || !ok || other.Messages(100) != 100 || other.Recipients(100) != 100 {
			t.Error("a site without a rule is limited")
		}
		s := reach("big")
		reach("big")
		if len(asked) != 2 || asked[1].Domain != "big.example" || asked[1].Router != "internet" || asked[1].Hosts[0] != "a" {
			t.Errorf("asked about %+v", asked)
		}
		if one, two, three := s.Begin(), s.Begin(), s.Begin(); !one || !two || three || cluster.active != 2 {
			t.Errorf("the cluster allows two, %d are noted", cluster.active)
		}
		if s.Idle(time.Minute) != scarceIdle || s.Idle(0) != 0 || other.Idle(time.Minute) != time.Minute {
			t.Error("a connection that others may wait for is idle for long, or another one is not")
		}
		if s.Messages(100) != 7 || s.Messages(5) != 5 || s.Recipients(100) != 8 {
			t.Error("messages of a connection, or recipients of a message, are not limited")
		}
		// Half of 60 a minute, of which a little may come at once.
		sent, began := 0, time.Now()
		for time.Since(began) < 2*time.Minute {
			wait, ok := s.Take(1, 2*time.Second)
			if !ok {
				time.Sleep(time.Second)
				continue
			}
			time.Sleep(wait)
			sent++
		}
		if sent < 54 || sent > 62 {
			t.Errorf("%d messages in two minutes", sent)
		}
		// The cluster takes a connection back.
		cluster.connections = 1
		if _, ok := s.Take(1, time.Hour); ok {
			t.Error("a connection too many goes on")
		}
		s.End()
		if cluster.active != 1 {
			t.Errorf("%d are noted", cluster.active)
		}
		// Without rules it is free again.
		set.SetRules(nil)
		reach("big")
		if wait, ok := s.Take(1, 0); wait != 0 || !ok {
			t.Error("limited without a rule")
		}
	})
}

// Sites that mail leaves for from one address share what that is allowed, and
// ways to one site what the site is.
func TestAddressesHaveLimitsToo(t *testing.T) {
	set := New(Options{Permit: func(string, int) Permit { return &permit{connections: 100, share: 1} }})
	set.SetRules(func(p limit.Place) (site, address *limit.Rule) {
		return &limit.Rule{Connections: 3}, &limit.Rule{PerNode: 2}
	})
	reach := func(key, from string) *Site {
		w := &egress.Way{Key: " from=" + from, From4: netip.MustParseAddr(from)}
		return set.Site(route.Target{Key: key + w.Key, Way: w})
	}
	a1, b1, a2 := reach("a", "192.0.2.1"), reach("b", "192.0.2.1"), reach("a", "192.0.2.2")
	if !a1.Begin() || !b1.Begin() || b1.Begin() || a1.Begin() {
		t.Error("an address has two connections")
	}
	if one, two, three := a2.Begin(), a2.Begin(), a2.Begin(); !one || !two || three {
		t.Error("a site has three, by whatever way")
	}
	a1.End()
	if !b1.Begin() || a2.Begin() {
		t.Error("what one gives back the others get")
	}
}

// What TLS must be like makes sites apart; a rule's limits hold for all of them
// together.
func TestLimitsHoldWhateverTLSIsDemanded(t *testing.T) {
	set := New(Options{})
	rule := &limit.Rule{Name: "big", PerNode: 3}
	set.SetRules(func(p limit.Place) (site, address *limit.Rule) {
		if p.Key != "big" {
			t.Errorf("asked about %q", p.Key)
		}
		return rule, nil
	})
	begun := 0
	for _, sender := range []tlspolicy.Sender{tlspolicy.Nothing, tlspolicy.TLSOptional, tlspolicy.RequireTLS} {
		where := target(route.TLSTry, host("a", "192.0.2.1", 0))
		where.Policy = new(tlspolicy.Checker).Policy(t.Context(), tlspolicy.Demand{Mode: tlspolicy.Try, Sender: sender})
		where.Key = "big" + where.Policy.Class([]string{"a"})
		s := set.Reach(where, Origin{})
		for s.Begin() {
			begun++
		}
	}
	if begun != 3 {
		t.Errorf("%d connections, want 3", begun)
	}
}
