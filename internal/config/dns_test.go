package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDNS(t *testing.T) {
	with := func(dns string) string {
		return strings.Replace(example, `dns: {servers: [127.0.0.1, "127.0.0.1:5353"], trust_ad: true}`, "dns: "+dns, 1)
	}
	path := write(t, with("{zones: {corp.example: {file: ca.pem, secure: true}, else.example: {file: /dev/null}}}"))
	f, err := Load(path, "")
	want := map[string]DNSZone{
		"corp.example": {File: filepath.Join(filepath.Dir(path), "ca.pem"), Secure: true}, "else.example": {File: "/dev/null"},
	}
	if diff := cmp.Diff(want, f.DNS.Zones); err != nil || diff != "" || f.DNS.TrustAD != nil {
		t.Errorf("%v, trust_ad %v\n%s", err, f.DNS.TrustAD, diff)
	}
	for dns, want := range map[string]string{
		"{servers: [127.0.0.1, 192.0.2.53]}":                 `dns.servers: 192.0.2.53 is not asked`,
		"{servers: [127.0.0.1, 192.0.2.53], trust_ad: true}": "",
		"{servers: [192.0.2.53, 192.0.2.54]}":                "",
	} {
		f, err := Load(write(t, with(dns)), "")
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(f.Warnings(), " "); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: warned %q, want %q", dns, got, want)
		}
	}
	for dns, want := range map[string]string{
		"{servers: [localhost]}":                        `30:17: "localhost" is not an address, write 127.0.0.1`,
		"{trust_ad: yes}":                               `"yes" is neither true nor false`,
		"{zones: {corp.example: corp.zone}}":            `30:29: keys and values are expected here`,
		"{zones: {corp.example: {secure: true}}}":       `30:29: zone corp.example has no file, write corp.example: {file: corp.example.zone}`,
		"{zones: {corp.example: {file: none.zone}}}":    `30:36: cannot read `,
		"{zones: {corp.example: {file: x, secur: no}}}": `unknown key "secur", did you mean secure?`,
	} {
		if _, err := Load(write(t, with(dns)), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", dns, err, want)
		}
	}
}
