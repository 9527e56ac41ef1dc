package dns

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// A name is refused or can be asked for, and then stays as it is.
func FuzzAbsolute(f *testing.F) {
	for _, s := range []string{"a.example", "münchen.example.", "..", "_25._tcp.mx", "[192.0.2.1]", "a\\.b", strings.Repeat("a.", 126), "xn--"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_ = local(s)
		name, err := absolute(s)
		if err != nil {
			return
		}
		if again, err := absolute(name); err != nil || again != name {
			t.Fatalf("%q: %q, then %q, %v", s, name, again, err)
		}
		m := new(dns.Msg)
		m.SetQuestion(capitals(name), dns.TypeMX)
		wire, err := m.Pack()
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		back := new(dns.Msg)
		if err := back.Unpack(wire); err != nil || !strings.EqualFold(back.Question[0].Name, name) {
			t.Fatalf("%q arrives as %q, %v", name, back.Question[0].Name, err)
		}
	})
}

// The octets of a text come out as they were on the wire.
func FuzzTextOctets(f *testing.F) {
	f.Add([]byte("v=STSv1; \"\\\x00\xff\\032"))
	f.Fuzz(func(t *testing.T, octets []byte) {
		octets = octets[:min(len(octets), 255)]
		wire := append([]byte{0, 0, 16, 0, 1, 0, 0, 0, 0, 0, byte(len(octets) + 1), byte(len(octets))}, octets...)
		record, _, err := dns.UnpackRR(wire, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := unescape(record.(*dns.TXT).Txt[0]); got != string(octets) {
			t.Fatalf("got %q, want %q", got, octets)
		}
	})
}
