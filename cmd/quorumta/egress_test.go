package main_test

import (
	"context"
	"fmt"
	"io"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorumta/bench/proc"
	"quorumta/smtp/smtptest"
)

const partner = `
pools:
  - name: mill
    addresses:
      - {name: a, source: [127.0.0.21], helo: a.mill.example, weight: 2}
      - {name: b, source: [127.0.0.22], helo: b.mill.example}
      - {name: elsewhere, source: [127.0.0.23], nodes: [n9], weight: 1000}
transports:
  - name: partner
    smtp:
      auth:
        - {if: sender.domain == "wrong.example", user: anna@us.example, password_file: %[1]s/wrong}
        - {if: sender.domain == "mill.example", user: otto@us.example, password_file: %[1]s/otto, mechanisms: [PLAIN]}
        - {user: anna@us.example, password_file: %[1]s/anna}
      pool: 'sender.domain == "mill.example" ? "mill" : ""'
      helo: 'sender.domain == "mill.example" ? "" : "out." + sender.domain'
      tls: {ca: %[2]s, min: "1.3"}
      multi_domain: false
routers:
  - {name: partner, hosts: ["%[3]s"], transport: partner, tls: verify}
`

// TestLeavesByTheTransport: who logs in, from where mail comes and under which
// name depend on the sender; Postfix, which takes mail from known users only,
// says so in Received. A wrong password makes mail wait, with the reason.
func TestLeavesByTheTransport(t *testing.T) {
	secrets := t.TempDir()
	for name, content := range map[string]string{"anna": "geheim", "otto": "auch geheim", "wrong": "falsch"} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := smtptest.Pair(t, smtptest.Domain)
	socket := smtptest.DovecotSASL(t, "", "anna@us.example:{PLAIN}geheim", "otto@us.example:{PLAIN}auch geheim")
	server := smtptest.Postfix(t, "",
		"smtpd_tls_cert_file = "+cert, "smtpd_tls_key_file = "+key, "smtpd_tls_security_level = encrypt",
		"smtpd_sasl_auth_enable = yes", "smtpd_sasl_type = dovecot", "smtpd_sasl_path = "+socket, "smtpd_sasl_authenticated_header = yes",
		"smtpd_recipient_restrictions = permit_sasl_authenticated, reject")
	c := started(t, proc.Options{Nodes: 1, Edit: func(name string, config []byte) []byte {
		return quickRetry(name, routing.ReplaceAllLiteral(config, fmt.Appendf(nil, partner, secrets, cert, server.Address)))
	}})
	const each = 12
	for i := range each {
		for _, from := range []string{"me@mill.example", "me@us.example", "me@wrong.example"} {
			if err := submit(c.Nodes[0].SMTP, from, "a@them.example", fmt.Sprintf("Subject: %d\r\n\r\nfrom %s\r\n", i, from)); err != nil {
				t.Fatal(err)
			}
		}
	}
	seen := map[string]int{}
	for _, content := range server.Arrivals(t, 2*each) {
		for name, signs := range map[string][]string{
			"mill a": {"from a.mill.example", "[127.0.0.21]", "Authenticated sender: otto@us.example", "from me@mill.example"},
			"mill b": {"from b.mill.example", "[127.0.0.22]", "Authenticated sender: otto@us.example", "from me@mill.example"},
			"us":     {"from out.us.example", "[127.0.0.1]", "Authenticated sender: anna@us.example", "from me@us.example"},
		} {
			found := 0
			for _, sign := range signs {
				if strings.Contains(content, sign) {
					found++
				}
			}
			if found == len(signs) {
				seen[name]++
			}
		}
	}
	if seen["us"] != each || seen["mill a"]+seen["mill b"] != each || seen["mill a"] == 0 {
		t.Errorf("%v", seen)
	}
	waitFor(t, "the refused login in the log", func(context.Context) bool {
		n, err := c.Nodes[0].Logged("login as anna@us.example: ")
		return err == nil && n > 0
	})
	var count proc.Count
	if err := c.Query(t.Context(), &count, "queue", "count"); err != nil || count.Total != each {
		t.Errorf("%+v wait, want %d; %v", count, each, err)
	}
	if n, err := c.Nodes[0].Logged("geheim"); n > 0 || err != nil {
		t.Errorf("a password is in the log; %v", err)
	}
}

// TestConvertsForPostfix: a Postfix that offers neither 8BITMIME nor SMTPUTF8
// gets text in quoted-printable, and reads what was sent.
func TestConvertsForPostfix(t *testing.T) {
	server := smtptest.Postfix(t, "", "smtpd_discard_ehlo_keywords = 8bitmime, smtputf8, chunking")
	c := started(t, proc.Options{Nodes: 1, Edit: func(name string, config []byte) []byte {
		rows := "transports:\n  - {name: smtp, smtp: {long_lines: repair}}\nrouters:\n  - {name: all, hosts: [\"" + server.Address + "\"]}\n"
		return quickRetry(name, routing.ReplaceAllLiteral(config, []byte(rows)))
	}})
	long := strings.Repeat("0123456789", 150)
	text := "Subject: test\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\ngrün\r\n" + long + "\r\n"
	if err := submit(c.Nodes[0].SMTP, "me@us.example", "a@them.example", text); err != nil {
		t.Fatal(err)
	}
	got := server.Arrivals(t, 1)[0]
	body, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(smtptest.Body(got))))
	if err != nil || string(body) != "grün\n"+long+"\n" || !strings.Contains(got, "\nContent-Transfer-Encoding: quoted-printable\n") {
		t.Errorf("%v: %s", err, got)
	}
}
