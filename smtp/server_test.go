package smtp_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	netsmtp "net/smtp"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/smtp"
)

func TestAMessageIsAccepted(t *testing.T) {
	h := open(t, nil)
	c := h.dial()
	c.hear("220 relay1.example.com ESMTP")
	c.ask("EHLO client.example.net", "250-relay1.example.com")
	c.ask("MAIL FROM:<Alice@example.NET> RET=HDRS ENVID=e+2B1 BODY=8BITMIME SIZE=100", "250")
	c.ask("RCPT TO:<bob@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+40example.org", "250")
	c.ask("DATA", "354")
	const content = "Message-ID: <1@x>\r\nSubject: =?utf-8?q?a?=\r\n b\r\n\r\nhello\r\n..dots\r\n"
	id := idOf(t, c.ask(strings.ReplaceAll(content, "\r\n..", "\r\n...")+".", "250 2.0.0 Ok: queued as "))
	c.ask("QUIT", "221")
	c.gone()

	_, stored := h.message(id)
	pattern := `^Received: from client\.example\.net \(\[127\.0\.0\.1\]\)\r\n` +
		`\tby relay1\.example\.com with ESMTP id ` + string(id) + `\r\n` +
		`\tfor <bob@example\.org>;\r\n\t\w{3}, \d+ \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n`
	received := regexp.MustCompile(pattern).FindString(stored)
	if received == "" || stored[len(received):] != content {
		t.Errorf("stored %q", stored)
	}
	want := mail.Envelope{
		From:     mail.Address{Local: "Alice", Domain: "example.net"},
		Return:   mail.ReturnHeaders,
		EnvID:    "e+1",
		EightBit: true,
		Recipients: []mail.Recipient{{
			Address:  mail.Address{Local: "bob", Domain: "example.org"},
			Notify:   mail.NotifySuccess | mail.NotifyFailure,
			Original: "rfc822;Bob@example.org",
		}},
	}
	a := h.accepted(id)
	if diff := cmp.Diff(want, a.Envelope); diff != "" {
		t.Error(diff)
	}
	if a.HeaderID != "<1@x>" || a.Subject != "=?utf-8?q?a?= b" || a.Client.Protocol != "ESMTP" || a.Client.Listener != "mx" || a.Rules[0] != "inbound" {
		t.Errorf("accepted %+v", a)
	}
	if log := h.log.String(); !strings.Contains(log, "msg=accepted id="+string(id)+" from=Alice@example.net to=bob@example.org") {
		t.Errorf("log: %s", log)
	}
}

func TestRelayingIsRefused(t *testing.T) {
	h := open(t, nil)
	c := h.dial()
	c.hear("220")
	c.ask("EHLO x", "250")
	c.ask("MAIL FROM:<a@example.org>", "250 2.1.0")
	c.ask("RCPT TO:<b@elsewhere.example>", "550 5.7.1")
	c.ask("RCPT TO:<@example.org:b@elsewhere.example>", "550 5.7.1")
	c.ask(`RCPT TO:<"b@elsewhere.example"@example.com>`, "550 5.7.1")
	c.ask("RCPT TO:<b%elsewhere.example@example.com>", "550 5.7.1")
	c.ask("RCPT TO:<b@>", "501 5.1.3")
	c.ask("DATA", "554 5.5.1")
	if h.count() != 0 {
		t.Error("something was queued")
	}
}

func TestPostmasterIsAlwaysTaken(t *testing.T) {
	owner := mail.Address{Local: "ops", Domain: "corp.example"}
	h := open(t, func(o *smtp.Options) { o.Postmaster = owner })
	for _, to := range []string{"postmaster", "PostMaster", "postmaster@relay1.example.com"} {
		c := h.dial()
		c.hear("220")
		c.ask("EHLO x", "250")
		c.ask("MAIL FROM:<>", "250")
		c.ask("RCPT TO:<"+to+">", "250")
		c.ask("DATA", "354")
		id := idOf(t, c.ask("x\r\n.", "250"))
		if got := h.accepted(id).Envelope.Recipients[0].Address; got != owner {
			t.Errorf("%s goes to %s", to, got)
		}
	}
	c := h.dial()
	c.hear("220")
	c.ask("EHLO x", "250")
	c.ask("MAIL FROM:<>", "250")
	c.ask("RCPT TO:<postmaster@elsewhere.example>", "550 5.7.1")
}

func TestPolicyErrorIsA4yz(t *testing.T) {
	h := open(t, func(o *smtp.Options) { o.Policy = testPolicy(t, `1 / message.size > 0`) })
	c := h.dial()
	c.hear("220")
	c.ask("EHLO x", "250")
	c.ask("MAIL FROM:<a@example.net>", "250")
	c.ask("RCPT TO:<b@example.org>", "451 4.3.5")
}

func TestLoopIsRefused(t *testing.T) {
	h := open(t, func(o *smtp.Options) { o.Limits.Received = 3 })
	c := h.dial()
	c.hear("220")
	c.ask("EHLO x", "250")
	id := c.send(strings.Repeat("Received: x\r\n", 3) + "\r\nReceived: no\r\n")
	if id == "" {
		t.Fatal("no id")
	}
	for _, before := range []string{"", "X: " + strings.Repeat("a\r\n ", 20_000) + "\r\n"} {
		c.ask("MAIL FROM:<a@example.net>", "250")
		c.ask("RCPT TO:<b@example.org>", "250")
		c.ask("DATA", "354")
		c.ask(before+strings.Repeat("Received: x\r\n", 4)+"\r\nx\r\n.", "554 5.4.6")
	}
	if h.count() != 1 {
		t.Errorf("%d messages", h.count())
	}
}

func TestLargeMessageByChunks(t *testing.T) {
	h := open(t, nil)
	c := h.dial()
	c.hear("220")
	line := strings.Repeat("0123456789", 7) + "\r\n"
	chunk := strings.Repeat(line, 5000)
	c.say("EHLO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n")
	go func() {
		for range 10 {
			fmt.Fprintf(c.conn, "BDAT %d\r\n%s", len(chunk), chunk)
		}
		fmt.Fprint(c.conn, "BDAT 0 LAST\r\n")
	}()
	for range 3 + 10 {
		c.hear("250")
	}
	id := idOf(t, c.hear("250 2.0.0 Ok: queued as "))
	_, stored := h.message(id)
	if !strings.HasSuffix(stored, "\r\n"+strings.Repeat(chunk, 10)) {
		t.Errorf("stored %d octets", len(stored))
	}
}

func TestWithGoSMTPsClient(t *testing.T) {
	h := open(t, func(o *smtp.Options) { o.Listeners[0].TLS, o.TLS = smtp.TLSRequire, serverTLS(t) })
	c, err := gosmtp.DialStartTLS(h.address(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const content = "Subject: x\r\n\r\nhello\r\n.dot\r\n"
	if err := c.SendMail("a@example.net", []string{"b@example.org", "c@example.org"}, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
	page, err := h.queue.List(t.Context(), queue.Selection{}, "", 10)
	if err != nil || len(page.Messages) != 1 {
		t.Fatalf("%v, %v", page, err)
	}
	id := page.Messages[0].Accepted.ID
	_, stored := h.message(id)
	if !strings.Contains(stored, " with ESMTPS id "+string(id)+"\r\n\ttls TLS_") || strings.Contains(stored, "for <") || !strings.HasSuffix(stored, content) {
		t.Errorf("stored %q", stored)
	}
	if got := h.accepted(id).Client.TLS; !strings.HasPrefix(got, "TLS 1.3 TLS_") {
		t.Errorf("tls %q", got)
	}
}

func TestWithNetSMTP(t *testing.T) {
	h := open(t, nil)
	content := []byte("Subject: x\r\n\r\nhello\r\n")
	if err := netsmtp.SendMail(h.address(), nil, "a@example.net", []string{"b@example.org"}, content); err != nil {
		t.Fatal(err)
	}
	if h.count() != 1 {
		t.Error("not queued")
	}
}

func TestTLSModes(t *testing.T) {
	insecure := &tls.Config{InsecureSkipVerify: true}
	h := open(t, func(o *smtp.Options) {
		o.TLS = serverTLS(t)
		o.Listeners = []smtp.Listener{
			{Name: "offer", Address: "127.0.0.1:0", TLS: smtp.TLSOffer},
			{Name: "require", Address: "127.0.0.1:0", TLS: smtp.TLSRequire},
			{Name: "implicit", Address: "127.0.0.1:0", TLS: smtp.TLSImplicit},
		}
	})
	addresses := h.server.Addresses()

	c := h.dial()
	c.hear("220")
	if !strings.Contains(c.ask("EHLO x", "250"), "STARTTLS") {
		t.Error("STARTTLS is not offered")
	}
	c.ask("MAIL FROM:<a@example.net>", "250")
	c.ask("STARTTLS now", "501 5.5.4")
	c.ask("STARTTLS", "220")
	secured := tls.Client(c.conn, insecure)
	c.conn = secured
	c.ask("MAIL FROM:<a@example.net>", "503 5.5.1") // what was said in the clear is forgotten
	if strings.Contains(c.ask("EHLO x", "250"), "STARTTLS") {
		t.Error("STARTTLS is offered under TLS")
	}
	c.ask("STARTTLS", "503 5.5.1")
	c.send("x\r\n")

	injected := h.dial()
	injected.hear("220")
	injected.ask("EHLO x", "250")
	injected.say("STARTTLS\r\nEHLO evil\r\n")
	injected.hear("521 5.5.1")
	injected.gone()

	required, err := net.Dial("tcp", addresses[1].String())
	if err != nil {
		t.Fatal(err)
	}
	defer required.Close()
	c = &client{t: t, conn: required}
	c.hear("220")
	c.ask("EHLO x", "250")
	c.ask("MAIL FROM:<a@example.net>", "530 5.7.0")

	implicit, err := tls.Dial("tcp", addresses[2].String(), insecure)
	if err != nil {
		t.Fatal(err)
	}
	defer implicit.Close()
	c = &client{t: t, conn: implicit}
	c.hear("220")
	c.ask("EHLO x", "250")
	c.send("x\r\n")
	c.ask("QUIT", "221")
}

// TestRequireTLS: REQUIRETLS is offered over TLS alone and kept in the envelope;
// TLS-Required: No is kept where there is no REQUIRETLS (RFC 8689, section 4.1).
func TestRequireTLS(t *testing.T) {
	h := open(t, func(o *smtp.Options) {
		o.TLS = serverTLS(t)
		o.Listeners = []smtp.Listener{{Name: "mx", Address: "127.0.0.1:0", TLS: smtp.TLSOffer}}
	})
	c := h.dial()
	c.hear("220")
	if strings.Contains(c.ask("EHLO x", "250"), "REQUIRETLS") {
		t.Error("REQUIRETLS is offered in the clear")
	}
	c.ask("MAIL FROM:<a@example.net> REQUIRETLS", "555 5.5.4")
	c.ask("STARTTLS", "220")
	c.conn = tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
	if !strings.Contains(c.ask("EHLO x", "250"), "REQUIRETLS") {
		t.Error("REQUIRETLS is not offered over TLS")
	}
	c.ask("MAIL FROM:<a@example.net> REQUIRETLS=yes", "501 5.5.4")
	for _, m := range []struct {
		parameter, field   string
		required, optional bool
	}{
		{"", "", false, false},
		{" REQUIRETLS", "", true, false},
		{" REQUIRETLS", "TLS-Required: No\r\n", true, false},
		{"", "TLS-Required: No\r\n", false, true},
		{"", "tls-required:\r\n no \r\n", false, true},
		{"", "TLS-Required: Yes\r\n", false, false},
		{"", "Subject: x\r\n\r\nTLS-Required: No\r\n", false, false},
	} {
		c.ask("MAIL FROM:<a@example.net>"+m.parameter, "250")
		c.ask("RCPT TO:<b@example.org>", "250")
		c.ask("DATA", "354")
		a := h.accepted(idOf(t, c.ask(m.field+"\r\nhello\r\n.", "250 2.0.0 Ok: queued as ")))
		if a.Envelope.RequireTLS != m.required || a.Envelope.TLSOptional != m.optional {
			t.Errorf("%q %q: %+v", m.parameter, m.field, a.Envelope)
		}
	}
}

func TestProxyProtocol(t *testing.T) {
	h := open(t, func(o *smtp.Options) {
		o.Listeners = []smtp.Listener{
			{Name: "mx", Address: "127.0.0.1:0", Proxy: "loopback"},
			{Name: "other", Address: "127.0.0.1:0", Proxy: "nobody"},
		}
	})
	c := h.dial()
	c.say("PROXY TCP4 198.51.100.7 127.0.0.1 4321 25\r\n")
	c.hear("220")
	c.ask("EHLO x", "250")
	if got := h.accepted(c.send("x\r\n")).Client.IP; got != "198.51.100.7" {
		t.Errorf("client %s", got)
	}
	v2 := h.dial()
	v2.say("\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x10\xe1\x00\x19")
	v2.hear("220")
	v2.ask("EHLO x", "250")
	id := v2.send("x\r\n")
	if _, stored := h.message(id); h.accepted(id).Client.IP != "2001:db8::1" || !strings.Contains(stored, "from x ([IPv6:2001:db8::1])") {
		t.Errorf("stored %q", stored)
	}
	without := h.dial()
	without.say("EHLO x\r\n")
	without.gone()

	conn, err := net.Dial("tcp", h.server.Addresses()[1].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c = &client{t: t, conn: conn}
	c.hear("220")
	c.ask("PROXY TCP4 198.51.100.7 127.0.0.1 4321 25", "500 5.5.2")
}

func TestConnectionLimits(t *testing.T) {
	h := open(t, func(o *smtp.Options) {
		o.Limits.PerClient, o.Limits.Connections = 2, 3
		o.Listeners[0].Proxy = "loopback"
	})
	from := func(ip string) *client {
		c := h.dial()
		c.say("PROXY TCP6 " + ip + " ::1 4321 25\r\n")
		return c
	}
	first := from("2001:db8::1")
	first.hear("220")
	from("2001:db8::2").hear("220")
	c := from("2001:db8::3") // the same network of 64 bits
	c.hear("421 4.7.0 too many connections from your address")
	c.gone()
	// The place of who was turned away is free when its goroutine has ended.
	heard := ""
	for range 1000 {
		if heard = from("2001:db8:0:1::1").line(); strings.HasPrefix(heard, "220") {
			break
		}
	}
	if !strings.HasPrefix(heard, "220") {
		t.Fatalf("heard %q, want 220", heard)
	}
	c = from("2001:db8:0:2::1")
	c.hear("421 4.7.0 too many connections, try again later")
	c.gone()
	first.ask("QUIT", "221")
	first.gone()
}

// TestTurnedAwayUnderTLS: who is one too many hears it under TLS, too, over
// all and from one address, and who draws it out is cut off.
func TestTurnedAwayUnderTLS(t *testing.T) {
	h := open(t, func(o *smtp.Options) {
		o.TLS, o.Listeners[0].TLS = serverTLS(t), smtp.TLSImplicit
		o.Limits.PerClient, o.Limits.Connections = 1, 3
	})
	secured := func() *client {
		c := h.dial()
		c.conn = tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true})
		return c
	}
	first := secured()
	first.hear("220")
	c := secured()
	c.hear("421 4.7.0 too many connections from your address")
	c.gone()
	h.server.SetLimits(smtp.Limits{Connections: 1})
	c = secured()
	c.hear("421 4.7.0 too many connections, try again later")
	c.gone()
	began := time.Now()
	silent := h.dial()
	silent.gone()
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("cut off after %v", took)
	}
	first.ask("QUIT", "221")
}

// TestLittleMemory: who comes while memory is short is turned away, who is
// there is served, slowly.
func TestLittleMemory(t *testing.T) {
	var pressed atomic.Bool
	h := open(t, func(o *smtp.Options) { o.Pressed = pressed.Load })
	c := h.dial()
	c.hear("220")
	c.ask("EHLO x", "250")
	pressed.Store(true)
	late := h.dial()
	late.hear("421 4.3.2 not enough memory now")
	late.gone()
	c.ask("MAIL FROM:<a@example.net>", "250")
	c.ask("RCPT TO:<b@example.org>", "250")
	c.ask("DATA", "354")
	began := time.Now()
	c.say("x\r\n.\r\n")
	c.hear("250 2.0.0 Ok: queued as")
	if took := time.Since(began); took < 250*time.Millisecond {
		t.Errorf("the content was taken within %v", took)
	}
	pressed.Store(false)
	h.dial().hear("220")
}

// TestLimitsExchanged: connections that begin are bound by the new limits.
func TestLimitsExchanged(t *testing.T) {
	h := open(t, nil)
	old := h.dial()
	old.hear("220")
	h.server.SetLimits(smtp.Limits{Message: 1000, Connections: 2})
	c := h.dial()
	c.hear("220")
	c.ask("EHLO x", "250")
	c.ask("MAIL FROM:<a@example.net> SIZE=1001", "552 5.3.4")
	old.ask("EHLO x", "250")
	old.ask("MAIL FROM:<a@example.net> SIZE=1001", "250")
	h.dial().hear("421 4.7.0 too many connections")
}

func TestDrain(t *testing.T) {
	h := open(t, nil)
	idle, busy := h.dial(), h.dial()
	idle.hear("220")
	busy.hear("220")
	idle.ask("EHLO x", "250")
	busy.ask("EHLO x", "250")
	busy.ask("MAIL FROM:<a@example.net>", "250")
	drained := make(chan error, 1)
	go func() { drained <- h.server.Drain(context.Background()) }()
	idle.hear("421 4.3.2")
	idle.gone()
	busy.ask("RCPT TO:<b@example.org>", "250")
	busy.ask("DATA", "354")
	busy.say("x\r\n.\r\n")
	busy.hear("250 2.0.0 Ok: queued as")
	busy.hear("421 4.3.2")
	busy.gone()
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if _, err := net.DialTimeout("tcp", h.address(), time.Second); err == nil {
		t.Error("still listening")
	}
	if err := <-h.ended; err != nil {
		t.Error(err)
	}
	h.ended <- nil
}

func TestDrainCutsOffInTheEnd(t *testing.T) {
	h := open(t, nil)
	c := h.dial()
	c.hear("220")
	c.ask("EHLO x", "250")
	c.ask("MAIL FROM:<a@example.net>", "250")
	ctx, cancel := context.WithCancel(t.Context())
	drained := make(chan error, 1)
	go func() { drained <- h.server.Drain(ctx) }()
	c.ask("NOOP", "250")
	cancel()
	if err := <-drained; err != context.Canceled {
		t.Errorf("drain: %v", err)
	}
}
