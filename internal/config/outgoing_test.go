package config

import (
	"strings"
	"testing"
)

const signing = `dkim:
  - {name: rsa, if: 'message.report || client.ip in nets.trusted', domain: from.domain, selector: '"s2026"', identity: '"@" + from.domain', key: '"keys/" + from.domain + ".pem"', optional: true, headers: [Sender, Comments], oversign: [From, To], canon: relaxed/simple, expire: 14d}
  - {name: ed25519, selector: '"e2026"', key: '"e.pem"'}
arc:
  - {name: forwarded, if: '!(from.domain in lists.ours)', domain: '"corp.example"', selector: '"arc"', key: '"arc.pem"', server: mx.corp.example, trust: [filter.corp.example], headers: [From, DKIM-Signatures]}
srs: {if: '!(sender.domain in lists.ours)', domain: srs.example.com, secret: srs.secret, hash: sha1, length: 4, max_age: 21d, separator: "="}
batv: {if: sender.domain in lists.ours, keys: {1: batv.1, 2: batv.2}, key: 2, max_age: 7d, check: rcpt.domain in lists.ours}
`

func TestSigningFaults(t *testing.T) {
	f, err := Load(write(t, example+signing), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.DKIM) != 2 || !f.DKIM[0].Optional || f.DKIM[0].Headers[1] != "Comments" {
		t.Errorf("%+v", f.DKIM)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"no selector", `selector: '"e2026"', `, ``, `selector is missing, it is an expression`},
		{"no key", `, key: '"e.pem"'`, ``, `key is missing`},
		{"bare text", `'"e2026"'`, `e2026`, `:31: unknown name e2026`},
		{"recipient", `'"e.pem"'`, `rcpt.domain`, `rcpt.domain is not known here; only client, sender, message, from, nets and lists are`},
		{"not a text", `domain: from.domain`, `domain: message.size`, `the result is a int; a string is expected`},
		{"not a bool", `message.report || client.ip in nets.trusted`, `from.domain`, `a bool is expected`},
		{"canon", `relaxed/simple`, `relaxed`, `"relaxed" is not possible`},
		{"trace field", `Comments`, `Received`, `Received cannot be signed`},
		{"field name", `Comments`, `"Comments:"`, `is not the name of a header field`},
		{"twice", `name: ed25519`, `name: rsa`, `the name rsa is used twice`},
		{"seal without a domain", `domain: '"corp.example"', `, ``, `domain is missing`},
		{"seal's server", `server: mx.corp.example`, `server: "mx; arc=pass"`, `is not the name of a server`},
		{"seal's field", `DKIM-Signatures`, `ARC-Seal`, `ARC-Seal cannot be signed`},
		{"no domain", `domain: srs.example.com, `, ``, `srs needs a domain`},
		{"no secret", `secret: srs.secret, `, ``, `srs needs a secret`},
		{"hash", `sha1`, `md5`, `"md5" is not possible`},
		{"short hash", `length: 4`, `length: 3`, `a hash has 4 to 20 characters`},
		{"age", `max_age: 21d`, `max_age: 1h`, `an address is good for 1d to 500d`},
		{"separator", `separator: "="`, `separator: "/"`, `"/" is not possible`},
		{"key number", `2: batv.2`, `12: batv.2`, `"12" is not the number of a key`},
		{"no such key", `key: 2,`, `key: 3,`, `key names none of keys`},
		{"tag's age", `max_age: 7d`, `max_age: 1000d`, `a tag is good for`},
		{"condition of a tag", `if: sender.domain in lists.ours, keys`, `if: rcpt.domain in lists.ours, keys`, `rcpt.domain is not known here`},
		{"author at RCPT", "retry:\n  - {name: default,", "retry:\n  - {name: default, if: 'from.domain == \"x\"',", `from.domain is not known here`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := example + signing
			if !strings.Contains(text, c.old) {
				t.Fatalf("the example has no %q", c.old)
			}
			_, err := Load(write(t, strings.Replace(text, c.old, c.new, 1)), "")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}
