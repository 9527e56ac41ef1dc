package smtp

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
)

func TestHeaderWatch(t *testing.T) {
	long := strings.Repeat("é", 200)
	content := "Received: one\r\n two\r\nRECEIVED : three\r\nSubject:  a\r\n\tb\r\nSubject: second\r\n" +
		"Message-Id: <" + long + ">\r\nno field\r\n more\r\ntraceparent: 00-x\r\nX-Long: " + strings.Repeat("y", 2000) + "\r\n" +
		"\r\nReceived: body\r\nSubject: body\r\n"
	for step := 1; step <= len(content); step = step*3 + 1 {
		var h header
		for rest := content; rest != ""; {
			n := min(step, len(rest))
			h.watch([]byte(rest[:n]))
			rest = rest[n:]
		}
		if h.received != 2 || h.subject != "a\tb" || h.traceparent != "00-x" || !h.over {
			t.Errorf("step %d: %+v", step, h)
		}
		if want := ("<" + long)[:255]; h.messageID != want {
			t.Errorf("step %d: message id %q", step, h.messageID)
		}
	}
}

func TestReceivedField(t *testing.T) {
	at := time.Date(2026, 11, 3, 8, 5, 0, 0, time.FixedZone("", 3600))
	one := []mail.Recipient{{Address: mail.Address{Local: "b c", Domain: "example.org"}}}
	for _, c := range []struct {
		client   event.Client
		envelope mail.Envelope
		cipher   string
		want     string
	}{
		{event.Client{IP: "192.0.2.1", Name: "c.example", Helo: "h", Protocol: "ESMTPS"}, mail.Envelope{Recipients: one}, "TLS_AES_128_GCM_SHA256",
			"Received: from h (c.example [192.0.2.1])\r\n\tby r.example with ESMTPS id ID\r\n\tfor <\"b c\"@example.org>\r\n\ttls TLS_AES_128_GCM_SHA256;\r\n\tTue, 3 Nov 2026 07:05:00 +0000\r\n"},
		{event.Client{IP: "2001:db8::1", Helo: "[IPv6:2001:db8::1]", Protocol: "SMTP"}, mail.Envelope{Recipients: append(one, one...)}, "",
			"Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n\tby r.example with SMTP id ID;\r\n\tTue, 3 Nov 2026 07:05:00 +0000\r\n"},
		{event.Client{Helo: "h", Protocol: "UTF8SMTP"}, mail.Envelope{Priority: -3}, "",
			"Received: from h (unknown)\r\n\tby r.example with UTF8SMTP id ID\r\n\tpriority -3;\r\n\tTue, 3 Nov 2026 07:05:00 +0000\r\n"},
	} {
		if got := string(receivedField("r.example", c.client, &c.envelope, c.cipher, "ID", at)); got != c.want {
			t.Errorf("got %q\nwant %q", got, c.want)
		}
	}
}

func TestProtocolName(t *testing.T) {
	for want, got := range map[string]string{
		"SMTP":      protocolName(false, false, true),
		"ESMTP":     protocolName(true, false, false),
		"ESMTPS":    protocolName(true, false, true),
		"UTF8SMTP":  protocolName(true, true, false),
		"UTF8SMTPS": protocolName(true, true, true),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if both, cipher := tlsNames(&tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256}); both != "TLS 1.3 TLS_AES_128_GCM_SHA256" || cipher != "TLS_AES_128_GCM_SHA256" {
		t.Errorf("%s, %s", both, cipher)
	}
}
