package route

import (
	"net/netip"
	"strings"
	"testing"

	"quorumta/internal/dns"
)

// in is a list of domains.
func in(domains ...string) func(string) bool {
	return func(domain string) bool { return strings.Contains(" "+strings.Join(domains, " ")+" ", " "+domain+" ") }
}

// TestFind: each fine point of finding hosts, with a router behind that takes
// what is left to it.
func TestFind(t *testing.T) {
	private := func(a netip.Addr) bool { return a.Is4() && a.As4()[3] < 4 } // those of two.example
	mx := func(f Find) Router { return Router{Name: "r", MX: true, Find: f} }
	hosts := func(f Find, list ...string) Router { return Router{Name: "r", Hosts: [][]string{list}, Find: f} }
	tests := []struct {
		name, rcpt string
		r          Router
		want       string
	}{
		{"ignored addresses", "x@two.example", mx(Find{Ignore: private}), "r 0:a.two.example=[2001:db8::1]:25"},
		{"all ignored", "x@same.example", mx(Find{Ignore: func(netip.Addr) bool { return true }}), "r fail 550 5.4.4"},
		{"all ignored, declined", "x@same.example", mx(Find{Ignore: func(netip.Addr) bool { return true }, NotFound: ActDecline}), "next fail 556 5.1.10"},
		{"an ignored literal", "x@[192.0.2.1]", mx(Find{Ignore: private}), "r fail 550 5.4.4"},
		{"no MX where one is wanted", "x@bare.example", mx(Find{MXDomains: in("bare.example")}), "r fail 550 5.1.2"},
		{"no MX, and none is wanted", "x@bare.example", mx(Find{MXDomains: in("two.example")}), "r 0:bare.example=192.0.2.4:25"},
		{"a time-out for no MX", "x@slow.example", mx(Find{MXFail: in("slow.example")}), "r 0:slow.example=192.0.2.5:25"},
		{"a time-out for no MX where one is wanted", "x@slow.example", mx(Find{MXFail: in("slow.example"), MXDomains: in("slow.example")}), "r fail 550 5.1.2"},
		{"a time-out elsewhere", "x@slow.example", mx(Find{MXFail: in("two.example")}), "r defer 451 4.4.3"},
		{"a time-out that passes", "x@slow.example", mx(Find{Timeout: ActPass}), "last fail 556 5.1.10"},
		{"what is missing waits", "x@missing.example", mx(Find{FailDefer: in("missing.example")}), "r defer 451 4.1.2"},
		{"without an address it waits", "x@empty.example", mx(Find{FailDefer: in("empty.example")}), "r defer 451 4.1.2"},
		{"what is missing is declined", "x@missing.example", mx(Find{NotFound: ActDecline}), "next fail 556 5.1.10"},
		{"null MX is an answer", "x@null.example", mx(Find{NotFound: ActDecline}), "r fail 556 5.1.10"},
		{"we are the best", "x@loop.example", mx(Find{Self: ActPass}), "last fail 556 5.1.10"},
		{"we are the best, and wait", "x@loop.example", mx(Find{Self: ActDefer}), "r defer 451 4.4.6"},
		{"secondary", "x@backup.example", mx(Find{Secondary: true}), "r 0:b.two.example=192.0.2.2:25"},
		{"no secondary", "x@two.example", mx(Find{Secondary: true}), "next fail 556 5.1.10"},
		{"primary is no secondary", "x@loop.example", mx(Find{Secondary: true}), "next fail 556 5.1.10"},
		{"SRV", "x@srv.example", mx(Find{SRV: "smtp"}), "r 0:b.two.example=192.0.2.2:2525 0:c.two.example=192.0.2.3:2526 1:bare.example=192.0.2.4:25"},
		{"SRV of none", "x@nosrv.example", mx(Find{SRV: "smtp"}), "r fail 556 5.1.10"},
		{"SRV is slow", "x@slowsrv.example", mx(Find{SRV: "smtp"}), "r defer 451 4.4.3"},
		{"no SRV", "x@same.example", mx(Find{SRV: "smtp"}), "r 0:c.two.example=192.0.2.3:25 0:a.two.example=[2001:db8::1]:25 0:a.two.example=192.0.2.1:25 1:b.two.example=192.0.2.2:25"},
		{"hosts: MX of a name", "x@z", hosts(Find{}, "two.example:26/mx"), "r 0:a.two.example=[2001:db8::1]:26 0:a.two.example=192.0.2.1:26 0:c.two.example=192.0.2.3:26 1:b.two.example=192.0.2.2:26"},
		{"hosts: MX of two names", "x@z", hosts(Find{}, "second.example/MX", "bare.example/mx"), "r 0:c.two.example=192.0.2.3:25 0:bare.example=192.0.2.4:25 1:b.two.example=192.0.2.2:25"},
		{"hosts: MX of a slow name", "x@z", hosts(Find{}, "slow.example/mx"), "r defer 451 4.4.3"},
		{"hosts: MX of no name", "x@z", hosts(Find{}, "missing.example/mx", "null.example/mx"), "r defer 451 4.3.5"},
		{"hosts: none is found", "x@z", hosts(Find{NotFound: ActFail}, "nowhere.example"), "r fail 550 5.3.5"},
		{"hosts: none is found, declined", "x@z", hosts(Find{NotFound: ActDecline}, "nowhere.example"), "next fail 556 5.1.10"},
		{"hosts: all ignored", "x@z", hosts(Find{Ignore: private}, "b.two.example"), "r defer 451 4.3.5"},
		{"fallback behind MX", "x@same.example", Router{Name: "r", MX: true, Find: Find{Fallback: []string{"bare.example:26", "nowhere.example"}}},
			"r 0:c.two.example=192.0.2.3:25 0:a.two.example=[2001:db8::1]:25 0:a.two.example=192.0.2.1:25 1:b.two.example=192.0.2.2:25 2:bare.example=192.0.2.4:26"},
		{"fallback behind hosts", "x@z", Router{Name: "r", Hosts: [][]string{{"b.two.example"}}, Find: Find{Fallback: []string{"bare.example", "192.0.2.9"}}},
			"r 0:b.two.example=192.0.2.2:25 1:bare.example=192.0.2.4:25 2:192.0.2.9=192.0.2.9:25"},
		{"fallback is for hosts that fail, not for routing that does", "x@slow.example", Router{Name: "r", MX: true, Find: Find{Fallback: []string{"bare.example"}}}, "r defer 451 4.4.3"},
		{"hosts: time-out", "x@z", hosts(Find{Timeout: ActPass}, "slow.host.example"), "last fail 556 5.1.10"},
	}
	zones := world()
	zones["SRV _smtp._tcp.srv.example"] = []dns.SRV{
		{Target: "b.two.example.", Port: 2525, Priority: 1, Weight: 3}, {Target: "c.two.example", Port: 2526, Priority: 1, Weight: 7},
		{Target: "bare.example", Port: 25, Priority: 2},
	}
	zones["SRV _smtp._tcp.nosrv.example"] = dns.ErrNoService
	zones["SRV _smtp._tcp.slowsrv.example"] = dns.ErrTemporary
	for _, test := range tests {
		test.r.Flow.Pass = "last"
		null := &Redirect{Data: text(t, `":fail: 556 5.1.10 here"`)}
		table, err := New(Options{
			Hostname: "relay.corp.example", Resolver: zones, Random: func(n int) int { return 0 },
			Routers: []Router{test.r, {Name: "next", Redirect: null}, {Name: "last", Redirect: null}},
		})
		if err != nil {
			t.Fatal(test.name, err)
		}
		got := describe(table.Route(t.Context(), Request{Facts: facts(test.rcpt)}))
		if got != test.want && sorted(got) != sorted(test.want) {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

// sorted puts hosts of equal rank in one order: they are shuffled.
func sorted(s string) string {
	fields := strings.Fields(s)
	for i := range fields {
		for j := i + 1; j < len(fields); j++ {
			if fields[j] < fields[i] {
				fields[i], fields[j] = fields[j], fields[i]
			}
		}
	}
	return strings.Join(fields, " ")
}

// TestWeights: a host is first as often as its weight says (RFC 2782).
func TestWeights(t *testing.T) {
	first := map[string]int{}
	for n := range 10 {
		draws := []int{n, 0, 0}
		table := &Table{random: func(int) int { d := draws[0]; draws = draws[1:]; return d }}
		list := []endpoint{{name: "a", weight: 3}, {name: "none"}, {name: "b", weight: 7}}
		table.shuffle(list)
		first[list[0].name]++
		if list[2].name != "none" {
			t.Errorf("%v: who has no weight comes last", list)
		}
	}
	if first["a"] != 3 || first["b"] != 7 {
		t.Errorf("first were %v", first)
	}
}

func TestFindRefuses(t *testing.T) {
	for want, r := range map[string]Router{
		"none of fail":       {Name: "r", MX: true, Find: Find{Self: "send"}},
		"an address has no":  {Name: "r", Hosts: [][]string{{"192.0.2.1/mx"}}},
		"is no later router": {Name: "r", MX: true, Flow: Flow{Pass: "r"}},
		"there is no router": {Name: "r", MX: true, Flow: Flow{Redirect: "x"}},
		"what is optional":   {Name: "r", MX: true, Affix: Affix{SuffixOptional: true}},
		"suffix":             {Name: "r", MX: true, Affix: Affix{Suffixes: []string{"*+*"}}},
		"prefix":             {Name: "r", MX: true, Affix: Affix{Prefixes: []string{"*"}}},
	} {
		if _, err := New(Options{Resolver: world(), Routers: []Router{r}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v; want %s", r, err, want)
		}
	}
}
