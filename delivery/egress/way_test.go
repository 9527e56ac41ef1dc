package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

func text(t *testing.T, expr string) *policy.Text {
	t.Helper()
	env, err := policy.NewEnv(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	x, err := env.Text(expr)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func condition(t *testing.T, expr string) *policy.Condition {
	t.Helper()
	env, err := policy.NewEnv(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	x, err := env.Condition(expr)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func from(domain string) *policy.Facts {
	return &policy.Facts{Sender: mail.Address{Local: "me", Domain: domain}, Rcpt: mail.Address{Local: "you", Domain: "them.example"}}
}

func TestWay(t *testing.T) {
	here := func(a netip.Addr) bool { return a != addr("192.0.2.9") && a != addr("192.0.2.99") }
	s := Settings{
		Node: "n1", Local: here,
		Helo:   text(t, `sender.domain == "odd.example" ? "no name" : sender.domain == "plain.example" ? "" : "out." + sender.domain`),
		Source: text(t, `sender.domain == "six.example" ? "2001:db8::1" : sender.domain == "gone.example" ? "192.0.2.9" : sender.domain == "bad.example" ? "x" : ""`),
		Pool:   text(t, `sender.domain == "pool.example" ? "bulk" : sender.domain == "none.example" ? "nothing" : sender.domain == "lost.example" ? "lost" : ""`),
		Pools: map[string]Pool{
			"bulk": {Addresses: []Address{
				{Name: "a", Addrs: []netip.Addr{addr("192.0.2.1"), addr("2001:db8::a")}, Helo: "a.example"},
				{Name: "not here", Addrs: []netip.Addr{addr("192.0.2.99")}},
				{Name: "another node's", Addrs: []netip.Addr{addr("192.0.2.2")}, Nodes: []string{"n2"}},
			}},
			"lost": {Addresses: []Address{{Name: "l", Addrs: []netip.Addr{addr("192.0.2.2")}, Nodes: []string{"n2"}}}},
		},
		Logins: []Login{{If: condition(t, `sender.domain == "login.example"`), User: "me"}},
	}
	for domain, c := range map[string]struct {
		key, name, from string
		login           bool
		fault           string
	}{
		"plain.example": {},
		"a.example":     {key: " helo=out.a.example", name: "out.a.example"},
		"six.example":   {key: " from=2001:db8::1 helo=out.six.example", name: "out.six.example", from: "2001:db8::1"},
		"pool.example":  {key: " pool=bulk/a helo=out.pool.example", name: "out.pool.example", from: "192.0.2.1 2001:db8::a"},
		"login.example": {key: " helo=out.login.example auth=0:me", name: "out.login.example", login: true},
		"odd.example":   {fault: "neither a host name"},
		"gone.example":  {fault: "192.0.2.9 is not one of node n1"},
		"bad.example":   {fault: "not an address"},
		"none.example":  {fault: "no pool nothing"},
		"lost.example":  {fault: "node n1 has none of pool lost"},
	} {
		w, err := s.Way(from(domain), "m1")
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v, want %q", domain, err, c.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", domain, err)
			continue
		}
		var sources []string
		for _, a := range []netip.Addr{w.From4, w.From6} {
			if a.IsValid() {
				sources = append(sources, a.String())
			}
		}
		if w.Key != c.key || w.Name != c.name || strings.Join(sources, " ") != c.from || (w.Login != nil) != c.login {
			t.Errorf("%s: %q %q %v %v", domain, w.Key, w.Name, sources, w.Login)
		}
	}
}

// TestPoolShares: messages are spread by weight, each stays where it was, and
// when an address is lost only its own move.
func TestPoolShares(t *testing.T) {
	p := Pool{Addresses: []Address{{Name: "a", Weight: 1}, {Name: "b", Weight: 3}, {Name: "c"}}}
	all := func(*Address) bool { return true }
	const n = 20000
	shares, moved := map[string]int{}, 0
	for i := range n {
		id := mail.MessageID(fmt.Sprintf("message%d", i))
		was := p.choose(id, all).Name
		shares[was]++
		now := p.choose(id, func(a *Address) bool { return a.Name != "b" }).Name
		if was != "b" && now != was {
			moved++
		}
	}
	for name, want := range map[string]float64{"a": 0.2, "b": 0.6, "c": 0.2} {
		if got := float64(shares[name]) / n; got < want-0.02 || got > want+0.02 {
			t.Errorf("%s has %.3f of the mail, want %.1f", name, got, want)
		}
	}
	if moved > 0 {
		t.Errorf("%d messages have moved without need", moved)
	}
	if p.choose("m", func(*Address) bool { return false }) != nil {
		t.Error("an address that is not usable")
	}
}

func TestFamilies(t *testing.T) {
	v4, v6 := addr("192.0.2.1"), addr("2001:db8::1")
	for family, c := range map[Family]struct {
		reaches string
		order   int // of v4 before v6
	}{
		"": {"46", 0}, FamilyAny: {"46", 0}, Family4: {"4", 0}, Family6: {"6", 0},
		FamilyPrefer4: {"46", -1}, FamilyPrefer6: {"46", 1},
	} {
		w := &Way{Settings: &Settings{Family: family}}
		got := ""
		if w.Reaches(v4) {
			got += "4"
		}
		if w.Reaches(v6) {
			got += "6"
		}
		if got != c.reaches || w.Before(v4, v6) != c.order || w.Before(v6, v4) != -c.order || w.Before(v4, v4) != 0 {
			t.Errorf("%q: %s, %d", family, got, w.Before(v4, v6))
		}
	}
	only4 := &Way{Settings: &Settings{}, From4: v4}
	if !only4.Reaches(v4) || only4.Reaches(v6) {
		t.Error("without an address of the family nobody is reached by it")
	}
}

func TestInterfaces(t *testing.T) {
	var i Interfaces
	for a, want := range map[string]bool{"127.0.0.1": true, "127.1.2.3": true, "192.0.2.77": false, "::1": i.Has(addr("::1"))} {
		if i.Has(addr(a)) != want {
			t.Errorf("%s: %v", a, !want)
		}
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good", "geheim im wald\r\nmore", 0o600)
	if got, err := ReadSecret(good); got != "geheim im wald" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	for path, want := range map[string]string{
		write("open", "geheim", 0o640): "chmod 600", write("empty", "\nx", 0o600): "empty", filepath.Join(dir, "none"): "no such file",
	} {
		if got, err := ReadSecret(path); got != "" || err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	l := Login{User: "me", PasswordFile: good}
	if who, err := l.Credentials(); err != nil || who.Password != "geheim im wald" || who.User != "me" {
		t.Errorf("%v", err)
	}
	l = Login{User: "me", TokenFile: filepath.Join(dir, "none")}
	if _, err := l.Credentials(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestLoginsNeedTrust(t *testing.T) {
	for over, may := range map[Trust]string{"": "verified", OverVerified: "verified", OverTLS: "tls verified", OverClear: "clear tls verified"} {
		l := Login{Over: over}
		var got []string
		for _, c := range []struct {
			name             string
			secret, verified bool
		}{{"clear", false, false}, {"tls", true, false}, {"verified", true, true}} {
			if l.May(c.secret, c.verified) == nil {
				got = append(got, c.name)
			}
		}
		if !slices.Equal(got, strings.Fields(may)) {
			t.Errorf("over %q: %v", over, got)
		}
	}
}
