package dane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"quorumta/internal/dns"
)

// world is a DNS: what each look-up is answered with. "A name" has an origin,
// "CNAME name" one too, "TLSA name" says whether records are secure.
type world map[string]any

var errForged = fmt.Errorf("SERVFAIL: %w", dns.ErrTemporary)

func (w world) origin(key string) (dns.Origin, error) {
	switch v := w[key].(type) {
	case dns.Origin:
		return v, nil
	case error:
		return dns.Origin{}, v
	}
	return dns.Origin{}, dns.ErrNotFound
}

func (w world) LookupHost(_ context.Context, name string) ([]netip.Addr, dns.Origin, error) {
	o, err := w.origin("A " + name)
	return nil, o, err
}

func (w world) LookupCNAME(_ context.Context, name string) (dns.Origin, error) {
	return w.origin("CNAME " + name)
}

func (w world) LookupTLSA(_ context.Context, host string, port uint16) ([]dns.TLSA, dns.Origin, error) {
	o, err := w.origin(fmt.Sprintf("TLSA %s:%d", host, port))
	if err != nil {
		return nil, o, err
	}
	return []dns.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: make([]byte, 32)}}, o, nil
}

func TestFind(t *testing.T) {
	secure, insecure := dns.Origin{Name: "x", Secure: true}, dns.Origin{Name: "x"}
	w := world{
		"A mx.example":               dns.Origin{Name: "mx.example", Secure: true},
		"TLSA mx.example:25":         secure,
		"A none.example":             dns.Origin{Name: "none.example", Secure: true},
		"A empty.example":            dns.Origin{Name: "empty.example", Secure: true},
		"TLSA empty.example:25":      dns.ErrNoData,
		"A plain.example":            dns.Origin{Name: "plain.example"},
		"TLSA plain.example:25":      errForged, // must not be asked
		"A lost.example":             dns.Origin{Name: "lost.example", Secure: true},
		"TLSA lost.example:25":       errForged,
		"A forged.example":           errForged,
		"A delegated.example":        dns.Origin{Name: "delegated.example", Secure: true},
		"TLSA delegated.example:25":  insecure,
		"A both.example":             dns.Origin{Name: "mx.example", Secure: true},
		"TLSA both.example:25":       secure,
		"A first.example":            dns.Origin{Name: "none.example", Secure: true},
		"TLSA first.example:25":      secure,
		"A nothing.example":          dns.Origin{Name: "none.example", Secure: true},
		"A broken.example":           dns.Origin{Name: "lost.example", Secure: true},
		"TLSA broken.example:25":     secure, // the end of the chain fails: no going on
		"A half.example":             dns.Origin{Name: "plain.example"},
		"CNAME half.example":         dns.Origin{Name: "plain.example", Secure: true},
		"TLSA half.example:25":       secure,
		"A open.example":             dns.Origin{Name: "plain.example"},
		"CNAME open.example":         dns.Origin{Name: "plain.example"},
		"TLSA open.example:25":       secure,
		"A unknown.example":          dns.Origin{Name: "plain.example"},
		"CNAME unknown.example":      errForged,
		"A submission.example":       dns.Origin{Name: "submission.example", Secure: true},
		"TLSA submission.example:25": errForged,
		"TLSA submission.example:26": secure,
	}
	for host, want := range map[string]string{
		"mx.example":        "authenticate mx.example",
		"MX.example.":       "dnssec-invalid no such domain", // not in this world
		"none.example":      "none: none.example, port 25, has no secure TLSA records",
		"empty.example":     "none: empty.example, port 25, has no secure TLSA records",
		"plain.example":     "none: the addresses of plain.example are not secured by DNSSEC",
		"lost.example":      "dnssec-invalid temporary",
		"forged.example":    "dnssec-invalid temporary",
		"missing.example":   "dnssec-invalid no such domain",
		"delegated.example": "none: delegated.example, port 25, has no secure TLSA records",
		"both.example":      "authenticate mx.example",
		"first.example":     "authenticate first.example",
		"nothing.example":   "none: nothing.example, port 25, has no secure TLSA records",
		"broken.example":    "dnssec-invalid temporary",
		"half.example":      "authenticate half.example",
		"open.example":      "none: the addresses of open.example are not secured by DNSSEC",
		"unknown.example":   "dnssec-invalid temporary",
		"192.0.2.1":         "none: an address has no TLSA records",
	} {
		if got := found(t, w, Hop{Host: host, Port: 25}); got != want {
			t.Errorf("%s: got %s, want %s", host, got, want)
		}
	}
	if got := found(t, w, Hop{Host: "submission.example", Port: 26}); got != "authenticate submission.example" {
		t.Errorf("another port: got %s", got)
	}
	if got := found(t, w, Hop{Host: "both.example", Port: 25, Names: []string{"corp.example", "real.example", "corp.example"}}); got != "authenticate mx.example corp.example real.example" {
		t.Errorf("names: got %s", got)
	}
}

func found(t *testing.T, w world, hop Hop) string {
	p, err := Find(t.Context(), w, hop)
	var e *Error
	switch {
	case errors.As(err, &e) && errors.Is(err, dns.ErrTemporary):
		return e.Result + " temporary"
	case errors.As(err, &e):
		return e.Result + " " + e.Err.Error()
	case p.Kind == None:
		return "none: " + p.Reason
	case p.Kind == Authenticate:
		return "authenticate " + strings.Join(p.Names, " ")
	}
	return fmt.Sprint("kind ", p.Kind)
}
