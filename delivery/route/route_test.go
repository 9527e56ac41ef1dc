package route

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"quorumta/internal/dns"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

// zones is a DNS: "MX NAME" and "NAME" to an answer or an error.
type zones map[string]any

func (z zones) LookupMX(_ context.Context, domain string) ([]dns.MX, dns.Origin, error) {
	switch v := z["MX "+domain].(type) {
	case []dns.MX:
		return v, dns.Origin{}, nil
	case error:
		return nil, dns.Origin{}, fmt.Errorf("MX of %s: %w", domain, v)
	}
	return nil, dns.Origin{}, dns.ErrNotFound
}

func (z zones) LookupSRV(_ context.Context, name string) ([]dns.SRV, dns.Origin, error) {
	switch v := z["SRV "+name].(type) {
	case []dns.SRV:
		return v, dns.Origin{}, nil
	case error:
		return nil, dns.Origin{}, fmt.Errorf("SRV of %s: %w", name, v)
	}
	return nil, dns.Origin{}, dns.ErrNotFound
}

func (z zones) LookupHost(_ context.Context, name string) ([]netip.Addr, dns.Origin, error) {
	switch v := z[name].(type) {
	case string:
		var out []netip.Addr
		for _, s := range strings.Fields(v) {
			out = append(out, netip.MustParseAddr(s))
		}
		return out, dns.Origin{}, nil
	case error:
		return nil, dns.Origin{}, fmt.Errorf("addresses of %s: %w", name, v)
	}
	return nil, dns.Origin{}, dns.ErrNotFound
}

func world() zones {
	return zones{
		"MX two.example":    []dns.MX{{Host: "a.two.example", Preference: 10}, {Host: "c.two.example", Preference: 10}, {Host: "b.two.example", Preference: 20}},
		"MX same.example":   []dns.MX{{Host: "c.two.example", Preference: 1}, {Host: "A.two.example", Preference: 1}, {Host: "b.two.example", Preference: 2}},
		"MX second.example": []dns.MX{{Host: "c.two.example", Preference: 1}, {Host: "b.two.example", Preference: 2}},
		"MX null.example":   dns.ErrNullMX,
		"MX bare.example":   dns.ErrNoData,
		"MX empty.example":  dns.ErrNoData,
		"MX slow.example":   dns.ErrTemporary,
		"MX backup.example": []dns.MX{{Host: "b.two.example", Preference: 5}, {Host: "c.two.example", Preference: 10}, {Host: "Relay.Corp.example", Preference: 10}, {Host: "a.two.example", Preference: 20}},
		"MX loop.example":   []dns.MX{{Host: "relay.corp.example", Preference: 1}, {Host: "a.two.example", Preference: 20}},
		"MX gone.example":   []dns.MX{{Host: "nowhere.example", Preference: 1}},
		"MX half.example":   []dns.MX{{Host: "slow.host.example", Preference: 1}, {Host: "b.two.example", Preference: 2}},
		"MX worse.example":  []dns.MX{{Host: "slow.host.example", Preference: 1}, {Host: "nowhere.example", Preference: 2}},
		"a.two.example":     "2001:db8::1 192.0.2.1",
		"b.two.example":     "192.0.2.2",
		"c.two.example":     "192.0.2.3",
		"bare.example":      "192.0.2.4",
		"empty.example":     dns.ErrNoData,
		"slow.example":      "192.0.2.5",
		"slow.host.example": dns.ErrTemporary,
	}
}

func facts(rcpt string) *policy.Facts {
	at := strings.LastIndexByte(rcpt, '@')
	return &policy.Facts{
		ClientIP: netip.MustParseAddr("192.0.2.99"), Login: "robot",
		Sender: mail.Address{Local: "s", Domain: "corp.example"},
		Rcpt:   mail.Address{Local: rcpt[:max(at, 0)], Domain: rcpt[at+1:]}, Recipients: 1,
	}
}

// describe draws a decision: what, by whom, and where to.
func describe(d Decision) string {
	switch d.Kind {
	case Deliver:
		var hosts []string
		for _, h := range d.Target.Hosts {
			hosts = append(hosts, fmt.Sprintf("%d:%s=%s", h.Group, h.Name, netip.AddrPortFrom(h.Addr, h.Port)))
		}
		return d.Router + " " + strings.Join(hosts, " ")
	case Fail:
		return fmt.Sprintf("%s fail %d %s", d.Router, d.Reply.Code, d.Reply.Enhanced)
	case Defer:
		return fmt.Sprintf("%s defer %d %s", d.Router, d.Reply.Code, d.Reply.Enhanced)
	}
	return "nothing"
}

func table(t *testing.T, routers ...Router) *Table {
	t.Helper()
	table, err := New(Options{
		Hostname: "relay.corp.example", Resolver: world(), Routers: routers,
		Random: func(n int) int { return n - 1 }, // keeps the order
	})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestMX(t *testing.T) {
	table := table(t, Router{Name: "internet", MX: true})
	tests := map[string]string{
		"x@two.example":          "internet 0:a.two.example=[2001:db8::1]:25 0:a.two.example=192.0.2.1:25 0:c.two.example=192.0.2.3:25 1:b.two.example=192.0.2.2:25",
		"x@null.example":         "internet fail 556 5.1.10",
		"x@missing.example":      "internet fail 550 5.1.2",
		"x@bare.example":         "internet 0:bare.example=192.0.2.4:25",
		"x@empty.example":        "internet fail 550 5.1.2",
		"x@slow.example":         "internet defer 451 4.4.3",
		"x@backup.example":       "internet 0:b.two.example=192.0.2.2:25",
		"x@loop.example":         "internet fail 554 5.4.6",
		"x@gone.example":         "internet fail 550 5.4.4",
		"x@half.example":         "internet 1:b.two.example=192.0.2.2:25",
		"x@worse.example":        "internet defer 451 4.4.3",
		"x@[192.0.2.7]":          "internet 0:192.0.2.7=192.0.2.7:25",
		"x@[IPv6:2001:db8::7]":   "internet 0:2001:db8::7=[2001:db8::7]:25",
		"x@[what]":               "internet fail 550 5.1.2",
		"x@":                     "internet fail 550 5.1.3",
		"x@[::ffff:192.0.2.7]":   "internet 0:192.0.2.7=192.0.2.7:25",
		"x@relay.corp.example":   "internet fail 550 5.1.2",
		"x@unknown.corp.example": "internet fail 550 5.1.2",
	}
	for rcpt, want := range tests {
		if got := describe(table.Route(t.Context(), Request{Facts: facts(rcpt)})); got != want {
			t.Errorf("%s:\n got %s\nwant %s", rcpt, got, want)
		}
	}
}

func TestHosts(t *testing.T) {
	tests := []struct {
		hosts [][]string
		want  string
	}{
		{[][]string{{"b.two.example:587", "C.two.example."}, {"[2001:db8::9]:26", "192.0.2.9"}},
			"r 0:b.two.example=192.0.2.2:587 0:c.two.example=192.0.2.3:25 1:2001:db8::9=[2001:db8::9]:26 1:192.0.2.9=192.0.2.9:25"},
		{[][]string{{"nowhere.example"}, {"b.two.example"}}, "r 1:b.two.example=192.0.2.2:25"},
		{[][]string{{"nowhere.example"}}, "r defer 451 4.3.5"},
		{[][]string{{"nowhere.example"}, {"slow.host.example"}}, "r defer 451 4.4.3"},
	}
	for _, test := range tests {
		table := table(t, Router{Name: "r", Hosts: test.hosts})
		if got := describe(table.Route(t.Context(), Request{Facts: facts("x@two.example")})); got != test.want {
			t.Errorf("%v:\n got %s\nwant %s", test.hosts, got, test.want)
		}
	}
}

func TestGroupsAreShuffled(t *testing.T) {
	table := table(t, Router{Name: "internet", MX: true})
	table.random = func(int) int { return 0 }
	d := table.Route(t.Context(), Request{Facts: facts("x@two.example")})
	if d.Target.Hosts[0].Name != "c.two.example" || d.Target.Hosts[3].Name != "b.two.example" {
		t.Errorf("got %s", describe(d))
	}
}

// Domains with the same mail hosts are one site, whatever the shuffle and
// the addresses; another TLS mode is another site.
func TestKey(t *testing.T) {
	plain := table(t, Router{Name: "a", MX: true})
	verified := table(t, Router{Name: "b", MX: true, TLS: TLSVerify})
	one := plain.Route(t.Context(), Request{Facts: facts("x@two.example")}).Target.Key
	plain.random = func(int) int { return 0 }
	if two := plain.Route(t.Context(), Request{Facts: facts("x@same.example")}).Target.Key; one != two {
		t.Errorf("%q and %q are one site", one, two)
	}
	if other := verified.Route(t.Context(), Request{Facts: facts("x@two.example")}).Target.Key; one == other {
		t.Errorf("%q with and without verification are two sites", one)
	}
	if want := "a.two.example:25,c.two.example:25|b.two.example:25 smtp try"; one != want {
		t.Errorf("got %q, want %q", one, want)
	}
}

// What the operator has named is told from what MX records name.
func TestNamed(t *testing.T) {
	for want, r := range map[bool]Router{true: {Name: "a", Hosts: [][]string{{"192.0.2.1"}}}, false: {Name: "a", MX: true}} {
		if d := table(t, r).Route(t.Context(), Request{Facts: facts("x@two.example")}); d.Kind != Deliver || d.Target.Named != want {
			t.Errorf("%s: named %t", describe(d), d.Target.Named)
		}
	}
}

func TestOrderAndConditions(t *testing.T) {
	env, err := policy.NewEnv(nil, map[string][]string{"ours": {"corp.example"}})
	if err != nil {
		t.Fatal(err)
	}
	condition := func(expr string) *policy.Condition {
		c, err := env.Condition(expr)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	table := table(t,
		Router{Name: "broken", If: condition(`rcpt.local == "boom" && int(client.login) > 0`), MX: true},
		Router{Name: "inside", If: condition(`rcpt.domain in lists.ours`), Hosts: [][]string{{"192.0.2.10"}}},
		Router{Name: "robots", If: condition(`client.login == "robot" && client.ip.family() == 4 && rcpt.local == "r"`), Hosts: [][]string{{"192.0.2.11"}}},
	)
	for rcpt, want := range map[string]string{
		"x@corp.example":    "inside 0:192.0.2.10=192.0.2.10:25",
		"r@two.example":     "robots 0:192.0.2.11=192.0.2.11:25",
		"x@two.example":     " fail 550 5.1.2",
		"boom@corp.example": "broken defer 451 4.3.5",
	} {
		if got := describe(table.Route(t.Context(), Request{Facts: facts(rcpt)})); got != want {
			t.Errorf("%s: got %s, want %s", rcpt, got, want)
		}
	}
}

// TestOwnListenersGetNothing: what would come back is not sent, whatever names
// us.
func TestOwnListenersGetNothing(t *testing.T) {
	own := func(a netip.AddrPort) (string, bool) {
		return "n2", slices.Contains([]string{"192.0.2.1:25", "192.0.2.2:25", "192.0.2.4:25", "192.0.2.9:587"}, a.String())
	}
	mx, back := Router{Name: "r", MX: true}, Router{Name: "r", Hosts: [][]string{{"192.0.2.9:587"}}}
	for _, test := range []struct {
		router     Router
		rcpt, want string
	}{
		{mx, "x@second.example", "r 0:c.two.example=192.0.2.3:25"},
		{mx, "x@same.example", "r fail 554 5.4.6"}, // the other would hand it back to us
		{mx, "x@bare.example", "r fail 554 5.4.6"},
		{mx, "x@worse.example", "r defer 451 4.4.3"},
		{mx, "x@half.example", "r defer 451 4.4.3"}, // the better host may be found later
		{mx, "x@[192.0.2.1]", "r fail 554 5.4.6"},
		{back, "x@any.example", "r defer 451 4.4.6"},
		{Router{Name: "r", Hosts: [][]string{{"192.0.2.9:587"}, {"192.0.2.3"}}}, "x@any.example", "r 1:192.0.2.3=192.0.2.3:25"},
		{Router{Name: "r", Hosts: [][]string{{"192.0.2.9"}}}, "x@any.example", "r 0:192.0.2.9=192.0.2.9:25"},
	} {
		table, err := New(Options{
			Hostname: "relay.corp.example", Resolver: world(), Routers: []Router{test.router}, Own: own,
			Random: func(n int) int { return n - 1 },
		})
		if err != nil {
			t.Fatal(err)
		}
		d := table.Route(t.Context(), Request{Facts: facts(test.rcpt)})
		if got := describe(d); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.rcpt, got, test.want)
		}
		if strings.HasSuffix(test.want, ".6") && !strings.Contains(d.Reply.Text, "is a listener of n2") {
			t.Errorf("%s: nobody learns why: %s", test.rcpt, d.Reply.Text)
		}
	}
}

func TestRerouted(t *testing.T) {
	table := table(t, Router{Name: "internet", MX: true})
	hosts := []string{"b.two.example:2525", "192.0.2.9"}
	if got, want := describe(table.Route(t.Context(), Request{Facts: facts("x@null.example"), Hosts: hosts})), "rerouted 0:b.two.example=192.0.2.2:2525 1:192.0.2.9=192.0.2.9:25"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	hosts = []string{"not a host"}
	if got, want := describe(table.Route(t.Context(), Request{Facts: facts("x@null.example"), Hosts: hosts})), "rerouted defer 451 4.3.5"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A transport that needs no hosts is one site, whichever router leads to it.
func TestAccept(t *testing.T) {
	var keys []string
	for _, name := range []string{"a", "b"} {
		d := table(t, Router{Name: name, Accept: "boxes"}).Route(t.Context(), Request{Facts: facts("x@two.example")})
		if d.Kind != Deliver || d.Router != name || d.Target.Transport != "boxes" || len(d.Target.Hosts) != 0 || !d.Target.Named {
			t.Errorf("got %+v", d)
		}
		keys = append(keys, d.Target.Key)
	}
	if keys[0] != keys[1] {
		t.Errorf("%q and %q are one site", keys[0], keys[1])
	}
}

func TestNewRefuses(t *testing.T) {
	for want, r := range map[string]Router{
		"one of hosts":               {Name: "r"},
		"hosts, mx, accept and":      {Name: "r", MX: true, Hosts: [][]string{{"a"}}},
		"mx, accept and redirect is": {Name: "r", MX: true, Accept: "boxes"},
		"a group without hosts":      {Name: "r", Hosts: [][]string{{}}},
		"a port from 1 to 65535":     {Name: "r", Hosts: [][]string{{"a:99999"}}},
		"a closing bracket":          {Name: "r", Hosts: [][]string{{"[::1"}}},
		"an address is expected":     {Name: "r", Hosts: [][]string{{"[mail]:25"}}},
		"after the colon":            {Name: "r", Hosts: [][]string{{"[::1]25"}}},
		`tls: "maybe"`:               {Name: "r", MX: true, TLS: "maybe"},
		"is empty or taken":          {MX: true},
		"name, name:port or [addr":   {Name: "r", Hosts: [][]string{{"a b"}}},
	} {
		if _, err := New(Options{Routers: []Router{r}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{"a:25", "[::1]:25", "::1", "a", "[", ":", "[]:1", "1.2.3.4:0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := parseEndpoint(s, 25)
		if err != nil {
			return
		}
		again, err := parseEndpoint(e.String(), 1)
		if err != nil || again != e {
			t.Fatalf("%q: %v, then %v, %v", s, e, again, err)
		}
	})
}
