package config

import (
	"strings"
	"testing"
)

const signing = `dkim:
  - {name: rsa, if: 'message.report || client.ip in nets.trusted', domain: from.domain, selector: '"s2026"', identity: '"@" + from.domain', key: '"keys/" + from.domain + ".pem"', optional: true, headers: [Sender, Comments], oversign: [From, To], canon: relaxed/simple, expire: 14d}
  - {name: ed25519, selector: '"e2026"', key: '"e.pem"'}
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
