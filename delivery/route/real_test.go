package route

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorumta/internal/dns"
	"quorumta/internal/dns/dnstest"
)

// resolver asks servers, and a zone of its own first.
func resolver(t *testing.T, zone string, servers ...netip.AddrPort) *dns.Resolver {
	t.Helper()
	path := filepath.Join(t.TempDir(), "zone")
	if err := os.WriteFile(path, []byte(zone), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := dns.Prepare(dns.Options{Servers: servers, Zones: []dns.Zone{{Name: "corp.example", File: path}}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := dns.New(s, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// What the resolver itself says, beside what the doubles of other tests say in
// its stead.
func TestWithTheResolver(t *testing.T) {
	r := resolver(t, `
$TTL 60
@               MX  10 mx
mx              A   192.0.2.1
srv             MX  10 mx
_smtp._tcp.srv  SRV 1 5 2525 mx
nosrv           MX  10 mx
_smtp._tcp.nosrv SRV 0 0 0 .
null            MX  0 .
bare            A   192.0.2.2
empty           TXT "nothing"
alias           CNAME corp.example.
gone            MX  10 nowhere
`, netip.MustParseAddrPort("127.0.0.1:9"))
	table, err := New(Options{Hostname: "relay.example", Resolver: r, Routers: []Router{{Name: "r", MX: true, Find: Find{SRV: "smtp"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]string{
		"corp.example":         "r 0:mx.corp.example=192.0.2.1:25",
		"srv.corp.example":     "r 0:mx.corp.example=192.0.2.1:2525",
		"nosrv.corp.example":   "r fail 556 5.1.10",
		"null.corp.example":    "r fail 556 5.1.10",
		"bare.corp.example":    "r 0:bare.corp.example=192.0.2.2:25",
		"empty.corp.example":   "r fail 550 5.1.2",
		"alias.corp.example":   "r 0:mx.corp.example=192.0.2.1:25",
		"gone.corp.example":    "r fail 550 5.4.4",
		"missing.corp.example": "r fail 550 5.1.2",
		"elsewhere.example":    "r defer 451 4.4.3", // nobody answers
	} {
		if got := describe(table.Route(t.Context(), Request{Facts: facts("x@" + domain)})); got != want {
			t.Errorf("%s: got %s, want %s", domain, got, want)
		}
	}
}

// Operators learn that a zone is signed wrongly, and not that servers were
// silent.
func TestBogusIsSaid(t *testing.T) {
	servers := dnstest.Start(t,
		dnstest.Zone{Name: "good", Records: "@ MX 10 mx.expired.example."},
		dnstest.Zone{Name: "expired", State: dnstest.Expired, Records: "@ MX 10 mx\nmx A 192.0.2.1"},
	)
	table, err := New(Options{
		Hostname: "relay.example", Resolver: resolver(t, "@ A 192.0.2.1", servers.Resolver),
		Routers: []Router{{Name: "r", MX: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]string{
		"expired.example": "DNSSEC validation fails for the MX of expired.example",
		"good.example":    "DNSSEC validation fails for the mail hosts of good.example",
	} {
		d := table.Route(t.Context(), Request{Facts: facts("x@" + domain)})
		if d.Kind != Defer || d.Reply.Code != 451 || d.Reply.Enhanced != "4.4.3" || !strings.HasPrefix(d.Reply.Text, want) {
			t.Errorf("%s: got %s %s, want %s", domain, describe(d), d.Reply.Text, want)
		}
	}
}
