package dns_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"quorumta/internal/dns"
	"quorumta/internal/dns/dnstest"
)

// A real resolver that validates real signatures: what is secure, what is not,
// and what must not be believed.
func TestUnbound(t *testing.T) {
	mail := "@ MX 10 mx\nmx A 127.0.0.1\n"
	servers := dnstest.Start(t,
		dnstest.Zone{Name: "good", Records: mail + `
null     MX    0 .
bare     A     127.0.0.1
alias    CNAME mx
far      CNAME mx.plain.example.
rotten   CNAME mx.expired.example.
_25._tcp.mx TLSA 3 1 1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
_mta-sts TXT   "v=STSv1; " "id=1"
*.wild   A     127.0.0.2
big      TXT   "` + fmt.Sprintf("%0250d\" \"%0250d\" \"%0250d\" \"%0250d\" \"%0250d\" \"%0250d", 1, 2, 3, 4, 5, 6) + `"
`},
		dnstest.Zone{Name: "plain", State: dnstest.Unsigned, Records: mail},
		dnstest.Zone{Name: "expired", State: dnstest.Expired, Records: mail},
		dnstest.Zone{Name: "broken", State: dnstest.Broken, Records: mail},
	)
	settings, err := dns.Prepare(dns.Options{Servers: []netip.AddrPort{servers.Resolver}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := dns.New(settings, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	kind := func(o dns.Origin, err error) string {
		switch {
		case errors.Is(err, dns.ErrBogus) && errors.Is(err, dns.ErrTemporary):
			return "bogus"
		case errors.Is(err, dns.ErrNullMX):
			return fmt.Sprint("null MX ", o)
		case errors.Is(err, dns.ErrNotFound):
			return fmt.Sprint("not found ", o)
		case errors.Is(err, dns.ErrNoData):
			return fmt.Sprint("no data ", o)
		case err != nil:
			return err.Error()
		}
		return fmt.Sprint(o)
	}
	for domain, want := range map[string]string{
		"good.example":      "{good.example true}",
		"null.good.example": "null MX {null.good.example true}",
		"bare.good.example": "no data {bare.good.example true}",
		"none.good.example": "not found {none.good.example true}",
		"plain.example":     "{plain.example false}",
		"no.plain.example":  "not found {no.plain.example false}",
		"expired.example":   "bogus",
		"broken.example":    "bogus",
		"no.broken.example": "bogus",
	} {
		if _, o, err := r.LookupMX(t.Context(), domain); kind(o, err) != want {
			t.Errorf("MX of %s: got %s, want %s", domain, kind(o, err), want)
		}
	}
	if _, _, err := r.LookupMX(t.Context(), "expired.example"); !strings.Contains(fmt.Sprint(err), "fails DNSSEC validation, ") { // in unbound's words
		t.Errorf("got %v: nobody learns why", err)
	}
	for name, want := range map[string]string{
		"mx.good.example":       "{mx.good.example true}",
		"alias.good.example":    "{mx.good.example true}",
		"far.good.example":      "{mx.plain.example false}",
		"rotten.good.example":   "bogus",
		"any.wild.good.example": "{any.wild.good.example true}",
	} {
		if _, o, err := r.LookupHost(t.Context(), name); kind(o, err) != want {
			t.Errorf("addresses of %s: got %s, want %s", name, kind(o, err), want)
		}
	}
	if o, err := r.LookupCNAME(t.Context(), "far.good.example"); kind(o, err) != "{mx.plain.example true}" {
		t.Errorf("got %s: the first step is secure", kind(o, err))
	}
	if tlsa, o, err := r.LookupTLSA(t.Context(), "mx.good.example", 25); err != nil || !o.Secure || len(tlsa) != 1 {
		t.Errorf("got %v, %v, %v", tlsa, o, err)
	}
	if txt, o, err := r.LookupTXT(t.Context(), "_mta-sts.good.example"); err != nil || !o.Secure || fmt.Sprint(txt) != "[v=STSv1; id=1]" {
		t.Errorf("got %q, %v, %v", txt, o, err)
	}
	if txt, o, err := r.LookupTXT(t.Context(), "big.good.example"); err != nil || !o.Secure || len(txt) != 1 || len(txt[0]) != 1500 {
		t.Errorf("an answer that takes TCP: %d texts, %v, %v", len(txt), o, err)
	}
}
