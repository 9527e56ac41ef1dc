package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

const inside = `
$ORIGIN corp.example.
$TTL 60
@          SOA   ns admin 1 2 3 4 60
           NS    ns
           MX    10 Mail
mail       A     192.0.2.10
           AAAA  2001:db8::10
www        CNAME mail
out        CNAME a.two.example.
a.b        TXT   "deep"
*.wild     A     192.0.2.11
sub        NS    ns.sub
ns.sub     A     192.0.2.12
_25._tcp.mail TLSA 3 1 1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
`

// zoned is a resolver with the zone above, and a server that has names of it,
// too.
func zoned(t *testing.T, secure bool) (*Resolver, *remote) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "corp.zone")
	writeFile(t, path, inside)
	z := testZone()
	for _, text := range []string{
		"corp.example. 300 IN MX 10 public.corp.example.",
		"host.sub.corp.example. 300 IN A 192.0.2.13",
		"inward.example. 300 IN CNAME www.corp.example.",
		"www.corp.example. 300 IN A 192.0.2.99",
	} {
		z.records = append(z.records, record(text))
	}
	z.signed = map[string]bool{"a.two.example.": true, "inward.example.": true, "www.corp.example.": true}
	return newResolver(t, Options{
		Servers: []netip.AddrPort{serve(t, z)}, Zones: []Zone{{Name: "Corp.example", File: path, Secure: secure}},
	}), z
}

func TestZone(t *testing.T) {
	r, server := zoned(t, true)
	host := func(name string) string {
		list, o, err := r.LookupHost(t.Context(), name)
		if err != nil {
			return kind(err)
		}
		return fmt.Sprint(list, o)
	}
	for name, want := range map[string]string{
		"mail.corp.example":     "[2001:db8::10 192.0.2.10] {mail.corp.example true}",
		"WWW.corp.example":      "[2001:db8::10 192.0.2.10] {mail.corp.example true}",
		"corp.example":          "no data",
		"b.corp.example":        "no data",
		"c.b.corp.example":      "not found",
		"x.wild.corp.example":   "[192.0.2.11] {x.wild.corp.example true}",
		"y.x.wild.corp.example": "[192.0.2.11] {y.x.wild.corp.example true}",
		"wild.corp.example":     "no data",
		"missing.corp.example":  "not found",
		"wwwcorp.example":       "not found",
	} {
		if got := host(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if n := server.asked.Load(); n != 2 {
		t.Errorf("%d questions left the house, want those for wwwcorp.example alone", n)
	}
	for name, want := range map[string]string{
		"out.corp.example":      "[2001:db8::1 192.0.2.1 192.0.2.2] {a.two.example true}",
		"inward.example":        "[2001:db8::10 192.0.2.10] {mail.corp.example true}", // not the server's www
		"host.sub.corp.example": "[192.0.2.13] {host.sub.corp.example false}",
	} {
		if got := host(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if mx, o, err := r.LookupMX(t.Context(), "corp.example"); err != nil || fmt.Sprint(mx, o) != "[{mail.corp.example 10}] {corp.example true}" {
		t.Errorf("got %v, %v, %v", mx, o, err)
	}
	if tlsa, o, err := r.LookupTLSA(t.Context(), "mail.corp.example", 25); err != nil || len(tlsa) != 1 || !o.Secure {
		t.Errorf("got %v, %v, %v", tlsa, o, err)
	}
	if txt, _, err := r.LookupTXT(t.Context(), "a.b.corp.example"); err != nil || fmt.Sprint(txt) != "[deep]" {
		t.Errorf("got %v, %v", txt, err)
	}
	plain, _ := zoned(t, false)
	if _, o, err := plain.LookupHost(t.Context(), "out.corp.example"); err != nil || o.Secure {
		t.Errorf("got %v, %v: an alias of a zone that is not secure", o, err)
	}
}

func kind(err error) string {
	switch {
	case errors.Is(err, ErrNotFound):
		return "not found"
	case errors.Is(err, ErrNoData):
		return "no data"
	case errors.Is(err, ErrBogus):
		return "bogus"
	case errors.Is(err, ErrTemporary):
		return "temporary"
	}
	return err.Error()
}

// New settings hold at once, and nothing of before is remembered.
func TestApply(t *testing.T) {
	path := filepath.Join(t.TempDir(), "corp.zone")
	o := Options{Servers: []netip.AddrPort{serve(t, testZone())}, Zones: []Zone{{Name: "corp.example", File: path}}}
	writeFile(t, path, "@ A 192.0.2.1\n")
	r := newResolver(t, o)
	expect := func(want string) {
		t.Helper()
		if got, _, err := r.LookupHost(t.Context(), "corp.example"); fmt.Sprint(got) != want {
			t.Errorf("got %v, %v, want %s", got, err, want)
		}
	}
	expect("[192.0.2.1]")
	writeFile(t, path, "@ A 192.0.2.2\n")
	expect("[192.0.2.1]")
	s, err := Prepare(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Apply(s)
	expect("[192.0.2.2]")
}

func TestZoneRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"@ A 192.0.2.300\n":           "bad A A",
		"else.example. A 192.0.2.1\n": "is not of the zone",
		"a CNAME b\na A 192.0.2.1\n":  "is an alias and has other records",
		"a A 192.0.2.1\na CNAME b\n":  "is an alias and has other records",
		"$INCLUDE /etc/passwd\n":      "$INCLUDE directive not allowed",
		"@ CH TXT chaos\n":            "is not of the zone",
	} {
		path := filepath.Join(t.TempDir(), "zone")
		writeFile(t, path, text)
		if _, err := readZones([]Zone{{Name: "corp.example", File: path}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "zone")
	writeFile(t, path, "@ A 192.0.2.1\n")
	for want, list := range map[string][]Zone{
		"no such file":   {{Name: "a.example", File: path + "x"}},
		"is no domain":   {{Name: "", File: path}},
		"is there twice": {{Name: "a.example", File: path}, {Name: "A.example.", File: path}},
	} {
		if _, err := readZones(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
