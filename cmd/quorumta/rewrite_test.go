package main_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"
	gosmtp "github.com/emersion/go-smtp"

	"quorumta/bench/proc"
)

// office is a next hop that keeps messages with their envelopes.
type office struct {
	mu  sync.Mutex
	got []posted
}

type posted struct{ from, to, orcpt, content string }

// NewSession implements gosmtp.Backend.
func (o *office) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return &posting{office: o}, nil }

type posting struct {
	*office
	posted
}

func (p *posting) Reset()        { p.posted = posted{} }
func (p *posting) Logout() error { return nil }
func (p *posting) Mail(from string, _ *gosmtp.MailOptions) error {
	p.from = from
	return nil
}

func (p *posting) Rcpt(to string, o *gosmtp.RcptOptions) error {
	p.to, p.orcpt = strings.TrimSpace(p.to+" "+to), o.OriginalRecipient
	return nil
}

func (p *posting) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	p.content = string(text)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.office.got = append(p.office.got, p.posted)
	return err
}

const rewrites = `
rewrites:
  - {name: canonical, if: 'address.domain == "old.example"', to: 'address.local + "@new.example"'}
  - {name: broken, if: 'address.local == "broken"', to: address.local, in: [headers]}
dkim:
  - {name: new, if: 'from.domain == "new.example"', selector: '"s"', key: '"%s"'}
`

// TestRewritesEnvelopeAndHeader: what goes out has the new addresses in the
// envelope and the header, the signature is over them, and reports can still
// name the address that the sender used. What a rule cannot rewrite waits.
func TestRewritesEnvelopeAndHeader(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "new.pem")
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	var next office
	server := gosmtp.NewServer(&next)
	server.Domain, server.EnableDSN = "last.example", true
	c := started(t, proc.Options{
		Nodes: 1, Smarthost: listen(t, server),
		Edit: func(name string, config []byte) []byte {
			return append(quickRetry(name, config), fmt.Sprintf(rewrites, key)...)
		},
	})
	at := c.Nodes[0].SMTP
	const header = "From: \"Doe, Ann\" <ann@OLD.example> (main)\r\nTo: team: bob@old.example,\r\n\tCarl <carl@else.example>;\r\nSubject: bob@old.example\r\n\r\n"
	const other = "From: Dora <dora@else.example>\r\nTo:  eve@else.example ,\r\n <x@y.example>\r\nSubject:  as it is\r\n\r\nHello.\r\n"
	for _, m := range [][3]string{
		{"broken@else.example", "bob@old.example", "From: broken@else.example\r\n\r\nwaits\r\n"},
		{"ann@old.example", "bob@old.example", header + "Hello.\r\n"},
		{"dora@else.example", "eve@else.example", other},
	} {
		if err := submit(at, m[0], m[1], m[2]); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "two messages", func(context.Context) bool {
		next.mu.Lock()
		defer next.mu.Unlock()
		return len(next.got) == 2
	})
	want := strings.NewReplacer("ann@OLD.example", "ann@new.example", "To: team: bob@old.example", "To: team: bob@new.example").Replace(header)
	for _, m := range next.got {
		if m.from == "dora@else.example" {
			if !strings.HasSuffix(m.content, other) || strings.Contains(m.content, "DKIM-Signature") {
				t.Errorf("where no rule fits something was changed:\n%s", m.content)
			}
			continue
		}
		if m.from != "ann@new.example" || m.to != "bob@new.example" || m.orcpt != "bob@old.example" || !strings.HasSuffix(m.content, want+"Hello.\r\n") {
			t.Errorf("%+v", m)
		}
		record := "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
		found, err := msgauth.VerifyWithOptions(bytes.NewReader([]byte(m.content)), &msgauth.VerifyOptions{
			LookupTXT: func(string) ([]string, error) { return []string{record}, nil },
		})
		if err != nil || len(found) != 1 || found[0].Err != nil || found[0].Domain != "new.example" {
			t.Errorf("signatures: %+v, %v", found, err)
		}
	}
	for _, line := range []string{"rewrite rule broken, broken@else.example", `"from_given":"ann@old.example"`, `"rule":"canonical`} {
		waitFor(t, "in the log: "+line, func(context.Context) bool {
			n, err := c.Nodes[0].Logged(line)
			return err == nil && n > 0
		})
	}
	var count proc.Count
	if err := c.Query(t.Context(), &count, "queue", "count"); err != nil || count.Total != 1 {
		t.Errorf("%+v wait, want the message that cannot be rewritten; %v", count, err)
	}
	out := must(t, "test", "rewrite", "--config", c.Nodes[0].Config, "--in", "from", "ann@old.example")
	if !strings.Contains(out, "ann@new.example  canonical: ann@new.example") {
		t.Errorf("test rewrite: %s", out)
	}
}
