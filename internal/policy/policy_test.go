package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"quorumta/internal/mail"
)

func testEnv(t testing.TB) *Env {
	t.Helper()
	env, err := NewEnv(
		map[string][]netip.Prefix{
			"trusted":   prefixes("127.0.0.0/8", "::1/128", "10.20.0.0/16", "10.20.30.0/24", "2001:db8::/32"),
			"balancers": prefixes("10.0.0.250/32"),
		},
		map[string][]string{
			"ours": {"corp.example", "Example.COM", "*.sub.example", ".dot.example", "münchen.example"},
			"vip":  {"boss@corp.example"},
		})
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func testFacts() *Facts {
	return &Facts{
		ClientIP:   netip.MustParseAddr("10.20.30.40"),
		ClientName: "app1.corp.example",
		Helo:       "app1",
		Login:      "robot",
		TLS:        true,
		Listener:   "mx",
		Sender:     mail.Address{Local: "boss", Domain: "corp.example"},
		Rcpt:       mail.Address{Local: "Info", Domain: "example.com"},
		Size:       5000,
		Recipients: 3,
	}
}

func TestConditions(t *testing.T) {
	env := testEnv(t)
	tests := []struct {
		expr string
		want bool
	}{
		{``, true},
		{`  `, true},
		{`client.ip in nets.trusted`, true},
		{`client.ip in nets.balancers`, false},
		{`!(client.ip in nets.balancers) && client.tls`, true},
		{`ip("::1") in nets.trusted && ip("2001:db8:1::2") in nets.trusted`, true},
		{`ip("10.21.0.0") in nets.trusted`, false},
		{`cidr("10.0.0.0/8").containsIP(client.ip)`, true},
		{`client.ip == ip("10.20.30.40")`, true},
		{`string(client.ip).startsWith("10.20.")`, true},
		{`client.ip.family() == 4`, true},
		{`ip.isCanonical("2001:db8::1")`, true},
		{`rcpt.domain in lists.ours`, true},
		{`"EXAMPLE.com" in lists.ours`, true},
		{`"a.b.sub.example" in lists.ours`, true},
		{`"sub.example" in lists.ours`, false},
		{`"x.dot.example" in lists.ours`, true},
		{`"dot.example" in lists.ours`, false},
		{`"xn--mnchen-3ya.example" in lists.ours && "münchen.example" in lists.ours`, true},
		{`"notexample.com" in lists.ours`, false},
		{`sender.address in lists.vip`, true},
		{`rcpt.local == "Info" && rcpt.address == "Info@example.com"`, true},
		{`sender.local.lowerAscii().contains("oss")`, true},
		{`client.helo == "app1" && client.name.endsWith(".corp.example")`, true},
		{`client.login != "" && client.listener == "mx"`, true},
		{`message.size > 4000 && message.recipients == 3`, true},
		{`["a", "b"].exists(x, x + "obot" == client.login)`, false},
		{`["r", "b"].exists(sender, sender + "obot" == client.login)`, true},
		{`type(client.helo) == string`, true},
		{`rcpt.domain.matches("^(.+\\.)?example\\.com$")`, true},
		{`size(sender.local) == 4 ? true : false`, true},
	}
	for _, test := range tests {
		c, err := env.Condition(test.expr)
		if err != nil {
			t.Errorf("%s: %v", test.expr, err)
			continue
		}
		got, err := c.Eval(testFacts())
		if err != nil || got != test.want {
			t.Errorf("%s: got %v, %v; want %v", test.expr, got, err, test.want)
		}
	}
}

func TestFaults(t *testing.T) {
	env := testEnv(t)
	tests := []struct{ expr, want string }{
		{`client.pi in nets.trusted`, `1:1: unknown name client.pi; did you mean client.ip?`},
		{`client.ip in nets.trustet`, `1:14: unknown name nets.trustet; did you mean nets.trusted?`},
		{"client.tls &&\n  rcpt.dmain in lists.ours", `2:3: unknown name rcpt.dmain; did you mean rcpt.domain?`},
		{`message.subject == "x"`, `1:1: unknown name message.subject; message has size, recipients`},
		{`recipient == "x"`, `1:1: unknown name recipient; known are nets, lists, client, sender, rcpt, message`},
		{`a.b && rcpt.x`, "1:1: unknown name a.b; known are nets, lists, client, sender, rcpt, message\n" +
			"1:8: unknown name rcpt.x; rcpt has local, domain, address"},
		{`sender.domain`, `1:1: the result is a string; a bool is expected`},
		{`client.ip == "10.0.0.1"`, `1:11: found no matching overload for '_==_' applied to '(net.IP, string)'; write ip("…") around the text`},
		{`message.size > "x"`, `1:14: found no matching overload for '_>_' applied to '(int, string)'`},
		{`rcpt.domain in nets.trusted`, `1:13: found no matching overload for '@in' applied to '(string, net)'; a net holds addresses, as client.ip`},
		{`client.tls = true`, `1:12: token recognition error at: '= '; == compares`},
		{`client.ip in ["10.0.0.1"]`, `write client.ip in nets.NAME`},
		{`client`, `unknown name client; client has ip, name`},
		{`client.ip in`, `1:13: `},
		{`ip("10.0.0.300") in nets.trusted`, `10.0.0.300`},
		{`rcpt.domain.matches("(")`, `1:`},
	}
	for _, test := range tests {
		_, err := env.Condition(test.expr)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got\n%v\nwant\n%s", test.expr, err, test.want)
		}
	}
}

func TestAuthorIsKnownOnlyOnTheWayOut(t *testing.T) {
	env := testEnv(t)
	if _, err := env.Condition(`from.domain == "x"`); err == nil || !strings.Contains(err.Error(), "when a message goes out") {
		t.Error(err)
	}
	c, err := env.Condition(`message.report || sender.domain == "x" && from.domain in lists.ours`, "sender", "message", "from")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	f := &Facts{Sender: mail.Address{Local: "a", Domain: "x"}, Fields: Fields{Author: func() mail.Address {
		asked++
		return mail.Address{Local: "b", Domain: "corp.example"}
	}}}
	if ok, err := c.Eval(f); !ok || err != nil || asked != 1 {
		t.Errorf("%v, %v, asked %d times", ok, err, asked)
	}
	f.Sender.Domain = "y"
	if ok, _ := c.Eval(f); ok || asked != 1 {
		t.Errorf("%v, asked %d times: the header is read for nothing", ok, asked)
	}
	f.Report, f.Author = true, nil
	if ok, _ := c.Eval(f); !ok {
		t.Error("a report is not known as one")
	}
}

func TestGroups(t *testing.T) {
	env := testEnv(t)
	if _, err := env.Condition(`sender.domain in lists.ours && rcpt.local == "x"`, "sender", "rcpt"); err != nil {
		t.Error(err)
	}
	_, err := env.Condition(`client.tls && rcpt.local == "x"`, "sender", "rcpt")
	if want := "1:1: client.tls is not known here; only sender, rcpt, nets and lists are"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A failure at run time must not look like false.
func TestRunTimeError(t *testing.T) {
	env := testEnv(t)
	for _, expr := range []string{
		`int(client.helo) == 1`,
		`ip(client.helo) in nets.trusted`,
		`[1, 2][message.recipients] == 1`,
		`[1,2,3,4,5,6,7,8].all(a, [1,2,3,4,5,6,7,8].all(b, [1,2,3,4,5,6,7,8].all(c, [1,2,3,4,5,6,7,8].all(d,
			[1,2,3,4,5,6,7,8].all(e, [1,2,3,4,5,6,7,8].all(f, [1,2,3,4,5,6,7,8].all(g, a+b+c+d+e+f+g > 0)))))))`,
	} {
		c, err := env.Condition(expr)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Eval(testFacts()); err == nil {
			t.Errorf("%s: got %v, want an error", expr, got)
		}
		if _, err := Decide([]Rule{{Name: "bad", If: c, Do: Accept}}, testFacts()); err == nil || !strings.Contains(err.Error(), "rule bad") {
			t.Errorf("Decide: got %v, want an error that names the rule", err)
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"has-dash", "1st", "", "in", "true", "a.b"} {
		if _, err := NewEnv(map[string][]netip.Prefix{name: nil}, nil); err == nil {
			t.Errorf("net %q was taken", name)
		}
		if _, err := NewEnv(nil, map[string][]string{name: nil}); err == nil {
			t.Errorf("list %q was taken", name)
		}
	}
}

func TestIn(t *testing.T) {
	env := testEnv(t)
	for addr, want := range map[string]bool{
		"127.0.0.1": true, "::ffff:127.0.0.1": true, "::1": true, "::2": false,
		"10.20.0.0": true, "10.20.255.255": true, "10.19.255.255": false, "10.21.0.0": false,
		"10.20.40.1": true, "2001:db8:ffff::1": true, "2001:db9::": false, "0.0.0.0": false,
	} {
		if got := env.In(netip.MustParseAddr(addr), "trusted"); got != want {
			t.Errorf("In(%s): got %v, want %v", addr, got, want)
		}
	}
	if env.In(netip.Addr{}, "trusted") || env.In(netip.MustParseAddr("::1"), "unknown") {
		t.Error("an unknown address or net was found")
	}
}

func TestDecide(t *testing.T) {
	env := testEnv(t)
	rules := []Rule{
		{Name: "slow", If: condition(t, env, `client.helo == "slow"`), Do: Defer},
		{Name: "bad", If: condition(t, env, `client.helo == "bad"`), Do: Reject, Reply: mail.Reply{Code: 554, Enhanced: "5.7.0", Text: "Go"}},
		{Name: "worse", If: condition(t, env, `client.helo == "worse"`), Do: Reject},
		{Name: "inside", If: condition(t, env, `client.ip in nets.trusted`), Do: Accept},
	}
	tests := []struct {
		helo, ip, rule string
		do             Verdict
		code           int
	}{
		{"slow", "10.20.0.1", "slow", Defer, 451},
		{"bad", "10.20.0.1", "bad", Reject, 554},
		{"worse", "10.20.0.1", "worse", Reject, 550},
		{"x", "10.20.0.1", "inside", Accept, 0},
		{"x", "192.0.2.1", "", Reject, 550},
	}
	for _, test := range tests {
		got, err := Decide(rules, &Facts{Helo: test.helo, ClientIP: netip.MustParseAddr(test.ip)})
		if err != nil || got.Rule != test.rule || got.Do != test.do || got.Reply.Code != test.code {
			t.Errorf("%s from %s: got %+v, %v", test.helo, test.ip, got, err)
		}
	}
}

func TestMessageCondition(t *testing.T) {
	env := testEnv(t)
	facts := &MessageFacts{
		Sender:     mail.Address{Local: "boss", Domain: "corp.example"},
		Recipients: []mail.Address{{Local: "a", Domain: "x.example"}, {Local: "b", Domain: "x.example"}},
		Size:       10_000, Age: 5 * time.Hour, State: "deferred", Tries: 4, Subject: "Invoice 7",
	}
	for expr, want := range map[string]bool{
		``: true,
		`sender == "boss@corp.example" && sender.domain in lists.ours`:    true,
		`"x.example" in domains && size(domains) == 1`:                    true,
		`recipients.exists(r, r.startsWith("b@"))`:                        true,
		`age > duration("4h") && tries >= 4 && state == "deferred"`:       true,
		`subject.lowerAscii().contains("invoice") && size > 10000`:        false,
		`domains.all(d, d in lists.ours)`:                                 false,
		`recipients.filter(r, r.endsWith("@x.example")).size() > size/10`: false,
	} {
		c, err := env.MessageCondition(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got, err := c.Eval(facts); err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", expr, got, err, want)
		}
	}
	if _, err := env.MessageCondition(`client.ip in nets.trusted`); err == nil || !strings.Contains(err.Error(), "unknown name client.ip") {
		t.Errorf("got %v, want client.ip to be unknown", err)
	}
}

func TestConcurrentEval(t *testing.T) {
	env := testEnv(t)
	c := condition(t, env, `client.ip in nets.trusted && rcpt.domain in lists.ours && sender.local.size() == message.size`)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 500 {
				f := testFacts()
				f.Sender.Local, f.Size = strings.Repeat("x", n%7), int64(i)
				if got, err := c.Eval(f); err != nil || got != (n%7 == i) {
					t.Errorf("got %v, %v", got, err)
					return
				}
			}
		})
	}
	group.Wait()
}

// What the everyday conditions need is not metered.
func TestEverydayConditionsAreCheap(t *testing.T) {
	env := testEnv(t)
	for _, expr := range []string{
		`client.ip in nets.trusted`, `rcpt.domain in lists.ours`,
		`client.login != "" && sender.domain.endsWith(".example") || rcpt.address.matches("^abuse@.*")`,
	} {
		checked, issues := env.conditions.env.Compile(expr)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		if !env.conditions.cheap(checked) {
			t.Errorf("%s is metered", expr)
		}
	}
}

func condition(t testing.TB, env *Env, expr string) *Condition {
	t.Helper()
	c, err := env.Condition(expr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func FuzzCondition(f *testing.F) {
	env := testEnv(f)
	f.Add(`client.ip in nets.trusted && rcpt.domain in lists.ours`)
	f.Add(`["a"].map(x, x + sender.local).exists(y, y.matches("(a*)*"))`)
	f.Add(`client.{a: 1}.b ? .client.ip : [1].all(client, client.ip)`)
	f.Fuzz(func(t *testing.T, expr string) {
		c, err := env.Condition(expr)
		if err != nil {
			if _, ok := err.(Faults); !ok || err.Error() == "" {
				t.Fatalf("%T %v is no Faults", err, err)
			}
			return
		}
		start := time.Now()
		_, _ = c.Eval(testFacts())
		if took := time.Since(start); took > 2*time.Second {
			t.Fatalf("took %v", took)
		}
	})
}

func BenchmarkEval(b *testing.B) {
	domains := make([]string, 1000)
	for i := range domains {
		domains[i] = fmt.Sprintf("partner%d.example", i)
	}
	env, err := NewEnv(
		map[string][]netip.Prefix{"trusted": prefixes("127.0.0.0/8", "::1/128", "10.20.0.0/16")},
		map[string][]string{"partners": append(domains, "example.com")})
	if err != nil {
		b.Fatal(err)
	}
	facts := testFacts()
	for _, bench := range []struct{ name, expr string }{
		{"net", `client.ip in nets.trusted`},
		{"list", `rcpt.domain in lists.partners`},
		{"both", `!(client.ip in nets.trusted) || rcpt.domain in lists.partners && message.recipients < 50`},
		{"metered", `["a","b"].map(x, x + x).exists(y, [1,2,3].exists(z, y.contains("c") && z > message.size))`},
	} {
		b.Run(bench.name, func(b *testing.B) {
			c := condition(b, env, bench.expr)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Eval(facts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Conditions about sites see what a site is, and nothing of a message.
func TestSiteConditions(t *testing.T) {
	env, err := NewEnv(nil, map[string][]string{"big": {"big.example"}})
	if err != nil {
		t.Fatal(err)
	}
	f := &SiteFacts{Key: "mx/mx1.big.example", Hosts: []string{"mx1.big.example", "mx2.big.example"}, Router: "internet", Domain: "big.example"}
	for expr, want := range map[string]bool{
		"": true,
		`site.hosts.exists(h, h.endsWith(".big.example"))`: true,
		`"mx3.big.example" in site.hosts`:                  false,
		`router == "internet" && rcpt.domain in lists.big`: true,
		`site.key == "mx/mx1.big.example"`:                 true,
	} {
		c, err := env.SiteCondition(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got, err := c.Eval(f); err != nil || got != want {
			t.Errorf("%s: %v, %v", expr, got, err)
		}
	}
	if _, err := env.SiteCondition("sender.domain == 'x'"); err == nil {
		t.Error("a site has no sender")
	}
}

func TestListsByName(t *testing.T) {
	env := testEnv(t)
	if !env.Lists("a.sub.example", "ours") || env.Lists("sub.example", "ours") || env.Lists("corp.example", "none") {
		t.Error("a list is not what a condition sees")
	}
}
