package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSMTPFaults puts a transport or a pool into the example and expects one
// fault, or none.
func TestSMTPFaults(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("geheim\n"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good, open := file("good", 0o600), file("open", 0o644)
	for name, c := range map[string]struct{ smtp, pools, want string }{
		"nothing":         {smtp: `{}`},
		"one login":       {smtp: `{auth: {user: me, password_file: ` + good + `, mechanisms: [PLAIN, SCRAM-SHA-256-PLUS], over: tls}}`},
		"by sender":       {smtp: `{auth: [{if: 'sender.domain == "a.example"', user: me, password_file: ` + good + `}, {user: x, token_file: ` + good + `}]}`},
		"certificate":     {smtp: `{auth: {mechanisms: [EXTERNAL]}, tls: {cert: ` + open + `, key: ` + good + `, ca: ` + open + `}}`},
		"everything else": {smtp: `{helo: '"out." + sender.domain', source: '"192.0.2.1"', ip: prefer4, connection_max_messages: 5, max_rcpt: 9, multi_domain: false, keepalive: false, timeouts: {connect: 5s, dot: 20m}}`},
		"tls":             {smtp: `{tls: {min: "1.2", ciphers: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]}}`},
		"proxies":         {smtp: `{socks: [{address: "10.0.0.1:1080", weight: 2, user: u, password_file: ` + good + `}], proxy: {version: 2, server: "10.0.0.1:25"}}`},
		"pool":            {smtp: `{pool: '"bulk"'}`, pools: `[{name: bulk, addresses: [{name: a, source: [192.0.2.1, "2001:db8::1"], helo: a.example, weight: 2, nodes: [n1]}]}]`},

		"others may read it": {smtp: `{auth: {user: me, password_file: ` + open + `}}`, want: `may be read by others (mode 644), chmod 600 it`},
		"key to all":         {smtp: `{tls: {cert: ` + open + `, key: ` + open + `}}`, want: `may be read by others`},
		"no file":            {smtp: `{auth: {user: me, token_file: none}}`, want: `cannot read`},
		"no secret":          {smtp: `{auth: {user: me}}`, want: `a login needs password_file or token_file`},
		"two secrets":        {smtp: `{auth: {user: me, token_file: ` + good + `, password_file: ` + good + `}}`, want: `a login has a password or a token`},
		"nobody":             {smtp: `{auth: {password_file: ` + good + `}}`, want: `user is missing`},
		"mechanism":          {smtp: `{auth: {user: me, password_file: ` + good + `, mechanisms: [SCRAM-SHA256]}}`, want: `"SCRAM-SHA256" is not possible, did you mean SCRAM-SHA-256?`},
		"over":               {smtp: `{auth: {user: me, password_file: ` + good + `, over: all}}`, want: `"all" is not possible`},
		"condition":          {smtp: `{auth: {if: sendr == "x", user: me, password_file: ` + good + `}}`, want: `sendr`},
		"expression":         {smtp: `{helo: out.example}`, want: `out.example`},
		"misspelt":           {smtp: `{hello: x}`, want: `unknown key "hello", did you mean helo?`},
		"ip":                 {smtp: `{ip: "5"}`, want: `"5" is not possible`},
		"source and pool":    {smtp: `{source: '"192.0.2.1"', pool: '"x"'}`, want: `exclude each other`},
		"half a certificate": {smtp: `{tls: {cert: ` + open + `}}`, want: `needs cert and key`},
		"min":                {smtp: `{tls: {min: "1.1"}}`, want: `"1.1" is not possible`},
		"suite":              {smtp: `{tls: {ciphers: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA348]}}`, want: `did you mean TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384?`},
		"suite of 1.3":       {smtp: `{tls: {ciphers: [TLS_AES_128_GCM_SHA256]}}`, want: `is not possible`},
		"suites with 1.3":    {smtp: `{tls: {min: "1.3", ciphers: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]}}`, want: `cannot be chosen`},
		"socks":              {smtp: `{socks: [{address: "proxy:1080"}]}`, want: `is not an address and port`},
		"socks, half":        {smtp: `{socks: [{address: "10.0.0.1:1080", user: u}]}`, want: `a login needs user and password_file`},
		"proxy":              {smtp: `{proxy: {version: 3}}`, want: `there are versions 1 and 2`},
		"proxy, no version":  {smtp: `{proxy: {server: "10.0.0.1:25"}}`, want: `version is missing`},
		"fewer than one":     {smtp: `{max_rcpt: -1}`, want: `max_rcpt is at least 1`},
		"pool, empty":        {smtp: `{}`, pools: `[{name: bulk}]`, want: `a pool has addresses`},
		"pool, no name":      {smtp: `{}`, pools: `[{addresses: [{name: a, source: [192.0.2.1]}]}]`, want: `name is missing`},
		"pool, twice":        {smtp: `{}`, pools: `[{name: b, addresses: [{name: a, source: [192.0.2.1]}, {name: a, source: [192.0.2.2]}]}]`, want: `the name a is used twice`},
		"pool, source":       {smtp: `{}`, pools: `[{name: b, addresses: [{name: a, source: [192.0.2]}]}]`, want: `"192.0.2" is not an address`},
		"pool, family":       {smtp: `{}`, pools: `[{name: b, addresses: [{name: a, source: [192.0.2.1, 192.0.2.2]}]}]`, want: `a second address of the same family`},
		"pool, node":         {smtp: `{}`, pools: `[{name: b, addresses: [{name: a, source: [192.0.2.1], nodes: ["n 1"]}]}]`, want: `is not a node name`},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(example, "transports:\n", "transports:\n  - {name: partner, smtp: "+c.smtp+"}\n", 1)
			if c.pools != "" {
				text = "pools: " + c.pools + "\n" + text
			}
			f, err := Load(write(t, text), "")
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if s := f.Transports[0].SMTP; len(s.Auth) > 0 && s.Auth[0].PasswordFile != "" && s.Auth[0].PasswordFile != good {
					t.Errorf("%+v", s.Auth)
				}
				return
			}
			faults, ok := err.(Faults)
			if !ok || len(faults) != 1 || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
	text := strings.Replace(example, "transports:\n", "transports:\n  - {name: smtp, smtp: {ip: prefer4}}\n", 1)
	if _, err := Load(write(t, text), ""); err != nil {
		t.Errorf("for all mail: %v", err)
	}
}
