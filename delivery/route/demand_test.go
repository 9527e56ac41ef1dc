package route

import (
	"os"
	"path/filepath"
	"testing"

	"quorumta/internal/dns"
	"quorumta/internal/tlspolicy"
)

// TestDemand: whose MX records name the hosts, and whether anybody vouches for
// that.
func TestDemand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "zone")
	const zone = `
$TTL 60
@               MX  10 mx
mx              A   192.0.2.1
bare            A   192.0.2.2
alias           CNAME @
srv             MX  10 mx
_smtp._tcp.srv  SRV 1 5 2525 mx
`
	if err := os.WriteFile(path, []byte(zone), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := dns.Prepare(dns.Options{Zones: []dns.Zone{
		{Name: "signed.example", File: path, Secure: true}, {Name: "plain.example", File: path},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := dns.New(s, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	on := tlspolicy.DANEOn
	dane, both := tlspolicy.Demand{DANE: on}, tlspolicy.Demand{DANE: on, STS: true}
	for _, c := range []struct {
		router Router
		domain string
		want   tlspolicy.Demand
	}{
		{Router{MX: true, Demand: both}, "signed.example", tlspolicy.Demand{DANE: on, STS: true, Domain: "signed.example", Alias: "signed.example", Secure: true}},
		{Router{MX: true, Demand: both}, "plain.example", tlspolicy.Demand{DANE: on, STS: true, Domain: "plain.example", Alias: "plain.example"}},
		{Router{MX: true, Demand: both}, "Alias.signed.example", tlspolicy.Demand{DANE: on, STS: true, Domain: "alias.signed.example", Alias: "signed.example", Secure: true}},
		// Where there is no MX record nobody could have named another host.
		{Router{MX: true, Demand: dane}, "bare.plain.example", tlspolicy.Demand{DANE: on, Domain: "bare.plain.example", Alias: "bare.plain.example", Secure: true}},
		{Router{MX: true, Demand: both, Find: Find{SRV: "smtp"}}, "srv.plain.example", tlspolicy.Demand{DANE: on, Domain: "srv.plain.example"}},
		{Router{MX: true, Demand: both}, "[192.0.2.1]", tlspolicy.Demand{DANE: on}},
		{Router{Hosts: [][]string{{"mx.plain.example"}}, Demand: dane}, "else.example", tlspolicy.Demand{DANE: on, Secure: true}},
		{Router{Hosts: [][]string{{"signed.example/MX"}}, Demand: dane}, "else.example", tlspolicy.Demand{DANE: on, Secure: true}},
		// Those that stand in count, too.
		{Router{MX: true, Demand: dane, Find: Find{Fallback: []string{"mx.plain.example"}}}, "signed.example", tlspolicy.Demand{DANE: on, Domain: "signed.example", Alias: "signed.example", Secure: true}},
		{Router{MX: true, Demand: dane, Find: Find{Fallback: []string{"plain.example/mx"}}}, "signed.example", tlspolicy.Demand{DANE: on, Domain: "signed.example", Alias: "signed.example"}},
		{Router{Hosts: [][]string{{"mx.signed.example", "plain.example/MX"}}, Demand: dane}, "else.example", tlspolicy.Demand{DANE: on}},
	} {
		c.router.Name = "r"
		table, err := New(Options{Hostname: "relay.example", Resolver: r, Routers: []Router{c.router}})
		if err != nil {
			t.Fatal(err)
		}
		d := table.Route(t.Context(), Request{Facts: facts("x@" + c.domain)})
		if d.Kind != Deliver || d.Target.Demand != c.want {
			t.Errorf("%s: %s, %+v", c.domain, describe(d), d.Target.Demand)
		}
	}
}
