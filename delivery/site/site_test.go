package site

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/delivery/route"
	"quorumta/delivery/smtpc"
	"quorumta/queue/event"
)

// network is hosts in memory: what each does with a connection. An address
// that is not there is silent.
type network struct {
	mu      sync.Mutex
	hosts   map[string]func(net.Conn)
	dialled []string
	at      []time.Time
}

var errRefused = errors.New("connection refused")

func (n *network) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	n.mu.Lock()
	serve, ok := n.hosts[addr.Addr().String()]
	n.dialled = append(n.dialled, addr.Addr().String())
	n.at = append(n.at, time.Now())
	n.mu.Unlock()
	if !ok {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if serve == nil {
		return nil, errRefused
	}
	client, server := net.Pipe()
	go serve(server)
	return client, nil
}

// says is a server that greets and answers EHLO as told, and closes after QUIT.
func says(greeting, ehlo string) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, greeting+"\r\n")
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			switch {
			case strings.HasPrefix(line, "EHLO"):
				_, _ = io.WriteString(c, ehlo+"\r\n")
			case strings.HasPrefix(line, "STARTTLS"):
				_, _ = io.WriteString(c, "220 go\r\njunk\r\n")
			default:
				_, _ = io.WriteString(c, "221 bye\r\n")
				return
			}
		}
	}
}

func host(name, addr string, group int) route.Host {
	return route.Host{Name: name, Addr: netip.MustParseAddr(addr), Port: 25, Group: group}
}

func target(mode route.TLSMode, hosts ...route.Host) route.Target {
	return route.Target{Key: "test", Hosts: hosts, TLS: mode}
}

func newSet(n *network) *Set {
	return New(Options{SMTP: smtpc.Options{Hostname: "us.example"}, Dial: n.dial})
}

func healthy() func(net.Conn) { return says("220 hi", "250 them") }

func TestGroupsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{hosts: map[string]func(net.Conn){
			"192.0.2.1": nil,
			"192.0.2.2": says("554 go away", ""),
			"192.0.2.3": says("421 busy", ""),
			"192.0.2.4": healthy(),
		}}
		s := newSet(n).Site(target(route.TLSOff,
			host("a", "192.0.2.1", 0), host("b", "192.0.2.2", 1), host("c", "192.0.2.3", 2), host("d", "192.0.2.4", 3)))
		conn, failure := s.Connect(t.Context(), nil)
		if failure != nil || conn.Peer().Host != "d" {
			t.Fatalf("%+v %+v", conn, failure)
		}
		conn.Leave(t.Context())
		if want := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}; !slices.Equal(n.dialled, want) {
			t.Errorf("dialled %v", n.dialled)
		}
		// The dead ones are left alone for a while, then tried again.
		n.dialled = nil
		conn, _ = s.Connect(t.Context(), nil)
		conn.Leave(t.Context())
		if !slices.Equal(n.dialled, []string{"192.0.2.4"}) {
			t.Errorf("soon after: %v", n.dialled)
		}
		time.Sleep(time.Minute)
		n.dialled = nil
		conn, _ = s.Connect(t.Context(), nil)
		conn.Leave(t.Context())
		if len(n.dialled) != 4 {
			t.Errorf("later: %v", n.dialled)
		}
	})
}

func TestEqualHostsShareTheWork(t *testing.T) {
	n := &network{hosts: map[string]func(net.Conn){"192.0.2.1": healthy(), "192.0.2.2": healthy()}}
	s := newSet(n).Site(target(route.TLSOff, host("a", "192.0.2.1", 0), host("b", "192.0.2.2", 0)))
	seen := map[string]int{}
	for range 60 {
		conn, failure := s.Connect(t.Context(), nil)
		if failure != nil {
			t.Fatal(failure)
		}
		seen[conn.Peer().Host]++
		conn.Leave(t.Context())
	}
	if seen["a"] == 0 || seen["b"] == 0 {
		t.Errorf("%v", seen)
	}
}

// TestFamilies: IPv6 first, IPv4 beside it after 250 ms, at once where IPv6 is
// refused (RFC 8305).
func TestFamilies(t *testing.T) {
	for name, c := range map[string]struct {
		v6   bool
		want time.Duration
	}{"silent": {false, 250 * time.Millisecond}, "refused": {true, 0}} {
		synctest.Test(t, func(t *testing.T) {
			n := &network{hosts: map[string]func(net.Conn){"192.0.2.1": healthy()}}
			if c.v6 {
				n.hosts["2001:db8::1"] = nil
			}
			s := newSet(n).Site(target(route.TLSOff, host("a", "2001:db8::1", 0), host("a", "192.0.2.1", 0)))
			conn, failure := s.Connect(t.Context(), nil)
			if failure != nil {
				t.Fatal(failure)
			}
			conn.Leave(t.Context())
			if got := n.at[1].Sub(n.at[0]); n.dialled[0] != "2001:db8::1" || got != c.want {
				t.Errorf("%s: %v after %v", name, n.dialled, got)
			}
		})
	}
}

func TestSilentHostTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{hosts: map[string]func(net.Conn){"192.0.2.2": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }}}
		set := newSet(n)
		began := time.Now()
		_, failure := set.Site(target(route.TLSOff, host("a", "192.0.2.1", 0))).Connect(t.Context(), nil)
		if failure == nil || failure.Kind != event.ErrorConnectTimeout || time.Since(began) != 30*time.Second {
			t.Errorf("%+v after %v", failure, time.Since(began))
		}
		began = time.Now()
		_, failure = set.Site(target(route.TLSOff, host("b", "192.0.2.2", 0))).Connect(t.Context(), nil)
		if failure == nil || failure.Kind != event.ErrorTimeout || time.Since(began) != 5*time.Minute {
			t.Errorf("%+v after %v", failure, time.Since(began))
		}
	})
}

// TestTLSTried: opportunistic TLS that fails is done without, and the host is
// not asked again for a while; TLS that is required is not.
func TestTLSTried(t *testing.T) {
	broken := says("220 hi", "250-them\r\n250 STARTTLS")
	for mode, works := range map[route.TLSMode]bool{route.TLSTry: true, route.TLSRequire: false, route.TLSVerify: false, route.TLSOff: true} {
		n := &network{hosts: map[string]func(net.Conn){"192.0.2.1": broken}}
		s := newSet(n).Site(target(mode, host("a", "192.0.2.1", 0)))
		for range 2 {
			conn, failure := s.Connect(t.Context(), nil)
			if (failure == nil) != works || failure != nil && failure.Kind != event.ErrorTLS {
				t.Fatalf("%s: %+v", mode, failure)
			}
			if works {
				conn.Leave(t.Context())
			}
		}
		if want := map[route.TLSMode]int{route.TLSTry: 3}[mode]; want != 0 && len(n.dialled) != want {
			t.Errorf("%s: dialled %v", mode, n.dialled)
		}
	}
	n := &network{hosts: map[string]func(net.Conn){"192.0.2.1": healthy()}}
	_, failure := newSet(n).Site(target(route.TLSRequire, host("a", "192.0.2.1", 0))).Connect(t.Context(), nil)
	if failure == nil || failure.Kind != event.ErrorTLSRequired {
		t.Errorf("not offered: %+v", failure)
	}
}

func TestSuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{hosts: map[string]func(net.Conn){"192.0.2.1": nil}}
		s := newSet(n).Site(target(route.TLSOff, host("a", "192.0.2.1", 0)))
		for range 5 {
			if !s.Begin() {
				t.Fatal("a fresh site gets five connections")
			}
		}
		if s.Begin() {
			t.Fatal("and not six")
		}
		for range 5 {
			_, failure := s.Connect(t.Context(), nil)
			if !s.Refused(*failure) {
				t.Fatal("not suspended")
			}
			s.End()
		}
		until, why, ok := s.Suspended()
		if !ok || time.Until(until) > 6*time.Second || why.Host != "a" || s.Begin() {
			t.Fatalf("%v %+v %v", until, why, ok)
		}
		// One probe at a time, at growing intervals.
		for i := range 8 {
			time.Sleep(time.Until(until))
			if !s.Begin() || s.Begin() {
				t.Fatal("one probe")
			}
			_, failure := s.Connect(t.Context(), nil)
			s.Refused(*failure)
			s.End()
			next, _, _ := s.Suspended()
			if gap := time.Until(next); gap < time.Duration(i)*5*time.Second/2 || gap > 331*time.Second {
				t.Errorf("gap %d is %v", i, gap)
			}
			until = next
		}
		n.hosts["192.0.2.1"] = healthy()
		time.Sleep(time.Until(until))
		if !s.Begin() {
			t.Fatal("no probe")
		}
		conn, failure := s.Connect(t.Context(), nil)
		if failure != nil {
			t.Fatal(failure)
		}
		if _, failing := s.Failing(); failing || !s.Begin() {
			t.Error("still suspended")
		}
		conn.Leave(t.Context())
	})
}

// TestOneTooMany: a site that refuses one more connection while others work is
// not suspended.
func TestOneTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{hosts: map[string]func(net.Conn){"192.0.2.1": healthy()}}
		s := newSet(n).Site(target(route.TLSOff, host("a", "192.0.2.1", 0)))
		s.Begin()
		conn, _ := s.Connect(t.Context(), nil)
		s.Begin()
		if s.Refused(Failure{Kind: event.ErrorGreeting}) {
			t.Error("suspended")
		}
		s.End()
		if s.Begin() {
			t.Error("more than it wants")
		}
		s.Worked()
		if s.Begin() {
			t.Error("too soon")
		}
		time.Sleep(time.Minute)
		s.Worked()
		if !s.Begin() {
			t.Error("never again")
		}
		conn.Leave(t.Context())
	})
}

func TestGrowth(t *testing.T) {
	for named, want := range map[bool]int{false: 20, true: 60} {
		where := target(route.TLSOff, host("a", "192.0.2.1", 0))
		where.Named = named
		s := newSet(&network{}).Site(where)
		for range 100 {
			s.Worked()
		}
		n := 0
		for s.Begin() {
			n++
		}
		if n != want {
			t.Errorf("named %t: %d connections", named, n)
		}
	}
}

func TestSitesAreForgotten(t *testing.T) {
	set := newSet(&network{})
	for i := range 3 * mostSites {
		set.Site(route.Target{Key: fmt.Sprint(i)})
	}
	if len(set.sites) > mostSites {
		t.Errorf("%d sites", len(set.sites))
	}
}
