package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func signedZone() *remote {
	z := testZone()
	z.signed = map[string]bool{}
	for _, name := range []string{
		"two.example.", "a.two.example.", "alias.example.", "alias2.example.", "lazy.example.", "bare.example.",
		"dangling.example.", "nowhere.example.", "_25._tcp.a.two.example.", "broken.example.",
	} {
		z.signed[name] = true
	}
	return z
}

// An answer is secure if all of its chain is, and says where the chain ends.
func TestOrigin(t *testing.T) {
	r := newResolver(t, Options{Servers: []netip.AddrPort{serve(t, signedZone())}})
	origin := func(_ any, o Origin, err error) string {
		switch {
		case errors.Is(err, ErrTemporary):
			return "temporary"
		case errors.Is(err, ErrNotFound):
			return fmt.Sprint("not found ", o)
		case errors.Is(err, ErrNoData):
			return fmt.Sprint("no data ", o)
		case err != nil:
			return err.Error()
		}
		return fmt.Sprint(o)
	}
	host := func(name string) string {
		list, o, err := r.LookupHost(t.Context(), name)
		return origin(list, o, err)
	}
	mx := func(name string) string {
		list, o, err := r.LookupMX(t.Context(), name)
		return origin(list, o, err)
	}
	cname := func(name string) string {
		o, err := r.LookupCNAME(t.Context(), name)
		return origin(nil, o, err)
	}
	for _, test := range []struct{ got, want string }{
		{mx("TWO.example."), "{two.example true}"},
		{mx("odd.example"), "{odd.example false}"},
		{mx("bare.example"), "no data {bare.example true}"},
		{mx("missing.example"), "not found {missing.example false}"},
		{mx("dangling.example"), "not found {nowhere.example true}"},
		{mx("broken.example"), "temporary"},
		{host("a.two.example"), "{a.two.example true}"},
		{host("alias.example"), "{a.two.example true}"},
		{host("lazy.example"), "{b.two.example false}"}, // the second answer is not
		{host("bare.example"), "{bare.example true}"},   // no AAAA is no harm
		{host("half.example"), "{half.example false}"},
		{host("localhost"), "{localhost false}"},
		{host("192.0.2.1"), "{192.0.2.1 false}"},
		{cname("alias.example"), "{alias2.example true}"},
		{cname("lazy.example"), "{lazy2.example true}"}, // this step alone
		{cname("lazy2.example"), "{b.two.example false}"},
		{cname("bare.example"), "no data {bare.example true}"},
	} {
		if test.got != test.want {
			t.Errorf("got %s, want %s", test.got, test.want)
		}
	}
}

// Who is not trusted is not asked, and not believed if it says so unasked.
func TestTrust(t *testing.T) {
	for trust, want := range map[Trust]bool{TrustLoopback: true, TrustAll: true, TrustNone: false} {
		z := signedZone()
		z.forger = trust == TrustNone
		r := newResolver(t, Options{Servers: []netip.AddrPort{serve(t, z)}, Trust: trust})
		if _, o, err := r.LookupMX(t.Context(), "two.example"); err != nil || o.Secure != want {
			t.Errorf("trust %d: %v, %v", trust, o, err)
		}
	}
	for _, test := range []struct {
		addr  string
		trust Trust
		want  bool
	}{
		{"127.0.0.53:53", TrustLoopback, true},
		{"[::1]:53", TrustLoopback, true},
		{"[::ffff:127.0.0.1]:53", TrustLoopback, true},
		{"192.0.2.53:53", TrustLoopback, false},
		{"192.0.2.53:53", TrustAll, true},
		{"127.0.0.1:53", TrustNone, false},
	} {
		if s := newServer(netip.MustParseAddrPort(test.addr), test.trust); s.trusted != test.want {
			t.Errorf("%s, trust %d: %t", test.addr, test.trust, s.trusted)
		}
	}
}

// A trusted server's failure is not made good by one that is not.
func TestNoFallBehindTrust(t *testing.T) {
	loop, far := netip.MustParseAddrPort("127.0.0.1:53"), netip.MustParseAddrPort("192.0.2.53:53")
	second := netip.MustParseAddrPort("[::1]:53")
	path := t.TempDir() + "/resolv.conf"
	writeFile(t, path, "nameserver 192.0.2.53\nnameserver 127.0.0.1\n")
	for want, o := range map[string]Options{
		"127.0.0.1:53 [::1]:53":      {Servers: []netip.AddrPort{far, loop, second}},
		"192.0.2.53:53":              {Servers: []netip.AddrPort{far}},
		"127.0.0.1:53 192.0.2.53:53": {Servers: []netip.AddrPort{loop, far}, Trust: TrustNone},
		"192.0.2.53:53 [::1]:53":     {Servers: []netip.AddrPort{far, second}, Trust: TrustAll},
		"127.0.0.1:53":               {Config: path},
	} {
		s, err := Prepare(o)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, server := range s.servers.current(time.Now()) {
			got = append(got, server.address)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}

func TestLookupTXT(t *testing.T) {
	r := newResolver(t, Options{Servers: []netip.AddrPort{serve(t, signedZone())}})
	got, _, err := r.LookupTXT(t.Context(), "words.example")
	if want := "v=STSv1; id=\"1\\\xe4\""; err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestLookupSRV(t *testing.T) {
	r := newResolver(t, Options{Servers: []netip.AddrPort{serve(t, signedZone())}})
	got, _, err := r.LookupSRV(t.Context(), "_smtp._tcp.two.example")
	if want := "[{a.two.example 2525 10 7} {b.two.example 25 20 0}]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("got %v, %v; want %s", got, err, want)
	}
	if _, _, err := r.LookupSRV(t.Context(), "_smtp._tcp.bare.example"); !errors.Is(err, ErrNoService) {
		t.Error(err)
	}
	if _, _, err := r.LookupSRV(t.Context(), "_smtp._tcp.missing.example"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

func TestLookupTLSA(t *testing.T) {
	r := newResolver(t, Options{Servers: []netip.AddrPort{serve(t, signedZone())}})
	got, o, err := r.LookupTLSA(t.Context(), "a.two.example", 25)
	if err != nil || len(got) != 1 || !o.Secure {
		t.Fatal(got, o, err)
	}
	if g := got[0]; g.Usage != 3 || g.Selector != 1 || g.Matching != 1 || fmt.Sprintf("%x", g.Data[:4]) != "00010203" || len(g.Data) != 32 {
		t.Errorf("got %v", got)
	}
	if _, _, err := r.LookupTLSA(t.Context(), "b.two.example", 25); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
