package main_test

import (
	"context"
	"net/textproto"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"quorumta/bench/proc"
)

// TestReleasedByAnotherNode: what a sender wants released later waits until then,
// and it is said what for; another node releases it where the one that took it has
// died (RFC 4865).
func TestReleasedByAnotherNode(t *testing.T) {
	var next office
	server := gosmtp.NewServer(&next)
	server.Domain = "last.example"
	c := started(t, proc.Options{
		Nodes: 3, Smarthost: listen(t, server),
		Edit: func(_ string, config []byte) []byte {
			return []byte(strings.Replace(string(config), "tls: offer}", "tls: offer, future_release: {from: loopback, max: 1d}}", 1))
		},
	})
	conn, err := textproto.Dial("tcp", c.Nodes[0].SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	say := func(command string, code int) string {
		t.Helper()
		if command != "" {
			if err := conn.PrintfLine("%s", command); err != nil {
				t.Fatal(err)
			}
		}
		_, text, err := conn.ReadResponse(code)
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		return text
	}
	say("", 220)
	if text := say("EHLO client.example", 250); !strings.Contains(text, "FUTURERELEASE 86400 ") {
		t.Fatalf("EHLO: %s", text)
	}
	say("MAIL FROM:<a@example.org> HOLDFOR=90000", 501)
	const hold = 8 * time.Second
	began := time.Now()
	say("MAIL FROM:<a@example.org> HOLDFOR=8", 250)
	say("RCPT TO:<b@example.net>", 250)
	say("DATA", 354)
	text := say("Subject: later\r\n\r\nx\r\n.", 250)
	id := text[strings.LastIndexByte(text, ' ')+1:]
	waitFor(t, "another node to say what it waits for", func(context.Context) bool {
		out, _, status := command(t, "queue", "show", id, "--config", c.Nodes[1].Config)
		return status == 0 && strings.Contains(out, "waits for the time that its sender wants it released at")
	})
	c.Nodes[0].Kill()
	got := func() int {
		next.mu.Lock()
		defer next.mu.Unlock()
		return len(next.got)
	}
	waitFor(t, "its delivery", func(context.Context) bool { return got() == 1 })
	if early := hold - time.Since(began); early > 0 {
		t.Errorf("released %v early", early)
	}
}
