package mail

import (
	"errors"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	long := strings.Repeat("a", 64)
	tests := []struct {
		in, local, domain string
		out               string // "" means the same as in
	}{
		{in: "", out: ""},
		{in: "postmaster", local: "postmaster"},
		{in: "PostMaster", local: "postmaster", out: "postmaster"},
		{in: "user@example.com", local: "user", domain: "example.com"},
		{in: "User@EXAMPLE.Com", local: "User", domain: "example.com", out: "User@example.com"},
		{in: "a.b+c=d/e@x", local: "a.b+c=d/e", domain: "x"},
		{in: "!#$%&'*+-/=?^_`{|}~@x.org", local: "!#$%&'*+-/=?^_`{|}~", domain: "x.org"},
		{in: `"a b"@x.org`, local: "a b", domain: "x.org"},
		{in: `"plain"@x.org`, local: "plain", domain: "x.org", out: "plain@x.org"},
		{in: `"a\b"@x.org`, local: "ab", domain: "x.org", out: "ab@x.org"},
		{in: `"a\"b\\c"@x.org`, local: `a"b\c`, domain: "x.org"},
		{in: `"a@b"@x.org`, local: "a@b", domain: "x.org"},
		{in: `"a..b"@x.org`, local: "a..b", domain: "x.org"},
		{in: `".a"@x.org`, local: ".a", domain: "x.org"},
		{in: `""@x.org`, local: "", domain: "x.org"},
		{in: "@a.org,@b.org:user@c.org", local: "user", domain: "c.org", out: "user@c.org"},
		{in: `@a:"x:y"@c`, local: "x:y", domain: "c", out: `"x:y"@c`},
		{in: "user@[192.0.2.1]", local: "user", domain: "[192.0.2.1]"},
		{in: "user@[IPv6:2001:DB8:0::1]", local: "user", domain: "[ipv6:2001:db8::1]", out: "user@[ipv6:2001:db8::1]"},
		{in: "jörg@müller.example", local: "jörg", domain: "müller.example"},
		{in: "用户@例子.公司", local: "用户", domain: "例子.公司"},
		{in: `"j ö"@x`, local: "j ö", domain: "x"},
		{in: "root@app_1.corp", local: "root", domain: "app_1.corp"},
		{in: long + "@x.org", local: long, domain: "x.org"},
	}
	for _, tt := range tests {
		a, err := ParseAddress(tt.in)
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		if a.Local != tt.local || a.Domain != tt.domain {
			t.Errorf("%q: got %q and %q", tt.in, a.Local, a.Domain)
		}
		out := tt.out
		if out == "" {
			out = tt.in
		}
		if a.String() != out {
			t.Errorf("%q: written as %q, want %q", tt.in, a.String(), out)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for _, in := range []string{
		"user", "@x.org", "user@", "user@@x.org", "a@b@c", "user@x..org", "user@.x.org", "user@x.org.",
		".a@x.org", "a.@x.org", "a..b@x.org", "a b@x.org", "a,b@x.org", "<a@x.org>", "a@x.org>", "a@x.org ",
		" a@x.org", "a(c)@x.org", `"a@x.org`, `"a"b@x.org`, `a"b"@x.org`, `"a\`, `"a\ö"@x.org`, `"a"`, `""`,
		"a@-x.org", "a@x-.org", "a@x!y.org", "a@x y.org", "a@x.org,b@y.org",
		"a\r\nRCPT@x.org", "a\x00@x.org", "a@x\n.org", "\"a\tb\"@x.org", "a\x7f@x.org", "a\u0085@x.org", "a\xff@x.org",
		"a@[192.0.2]", "a@[192.0.2.1", "a@[2001:db8::1]", "a@[IPv6:192.0.2.1]", "a@[IPv6:fe80::1%eth0]", "a@[x:y]", "a@[]",
		"@a.org", "@a.org:", "@a.org,b.org:u@c.org", "@a..org:u@c.org", "a@x\u2028y",
		strings.Repeat("a", 65) + "@x.org",
		"a@" + strings.Repeat("b", 64) + ".org",
		"a@" + strings.Repeat("b23456789.", 26) + "org",
	} {
		if a, err := ParseAddress(in); !errors.Is(err, ErrBadAddress) {
			t.Errorf("%q: got %+v, %v", in, a, err)
		}
	}
}

func TestAddressForms(t *testing.T) {
	tests := []struct {
		in, key, host, literal string
		ascii                  bool
	}{
		{"Joe.Doe@Example.COM", "joe.doe@example.com", "example.com", "", true},
		{"a@müller.example", "a@müller.example", "xn--mller-kva.example", "", false},
		{"ö@x.org", "ö@x.org", "x.org", "", false},
		{"o\u0308@x.org", "ö@x.org", "x.org", "", false},
		{"a@app_1.corp", "a@app_1.corp", "app_1.corp", "", true},
		{"a@[192.0.2.7]", "a@[192.0.2.7]", "", "192.0.2.7", true},
		{"a@[IPv6:2001:db8::7]", "a@[ipv6:2001:db8::7]", "", "2001:db8::7", true},
		{"postmaster", "postmaster", "", "", true},
	}
	for _, tt := range tests {
		a, err := ParseAddress(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		if a.Key() != tt.key || a.ASCII() != tt.ascii || a.IsNull() {
			t.Errorf("%q: key %q, ASCII %v", tt.in, a.Key(), a.ASCII())
		}
		if host, err := a.HostName(); host != tt.host || (err == nil) == (tt.host == "") {
			t.Errorf("%q: host name %q, %v", tt.in, host, err)
		}
		ip, ok := a.Literal()
		if ok != (tt.literal != "") || ok && ip.String() != tt.literal {
			t.Errorf("%q: literal %v", tt.in, ip)
		}
	}
}

func TestHostNameRefusesWhatIDNARefuses(t *testing.T) {
	for _, domain := range []string{"xn--a", "a\u200cb.example"} {
		if host, err := (Address{Local: "a", Domain: domain}).HostName(); !errors.Is(err, ErrBadAddress) {
			t.Errorf("%q: got %q, %v", domain, host, err)
		}
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"", "postmaster", "a@b", `"a\"b"@c.d`, "@a,@b:c@d", "ö@ü", "a@[IPv6:::1]", `"postmaster"@x`, "a@İ.org"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		text := a.String()
		if strings.ContainsAny(text, "\r\n\x00") {
			t.Fatalf("%q is written as %q", s, text)
		}
		again, err := ParseAddress(text)
		if err != nil || again != a {
			t.Fatalf("%q parsed as %+v, written as %q, parsed as %+v, %v", s, a, text, again, err)
		}
	})
}
