package main_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"quorumta/bench/proc"
	"quorumta/smtp/smtptest"
)

// routing is the part of a configuration that says where mail goes.
var routing = regexp.MustCompile(`(?m)^routers:.*\n( .*\n)+`)

// toBoxes has mail for them.example go to a transport.
func toBoxes(transport string) func(string, []byte) []byte {
	return func(name string, config []byte) []byte {
		rows := "transports:\n  - {name: boxes, " + transport + "}\n" +
			"routers:\n  - {name: local, if: rcpt.domain == \"them.example\", accept: boxes}\n  - {name: internet, mx: {}}\n"
		return quickRetry(name, routing.ReplaceAllLiteral(config, []byte(rows)))
	}
}

// TestLocalMailOutlivesTheNodeThatTookIt: mail for a local domain is taken while
// Dovecot is down, and one of the nodes that took it dies without having delivered
// any; all of it arrives by LMTP, once, and an IMAP and a POP3 client read it.
func TestLocalMailOutlivesTheNodeThatTookIt(t *testing.T) {
	boxes := smtptest.DovecotMailboxes(t, "anna@them.example", "otto@them.example")
	c := started(t, proc.Options{Nodes: 3, Edit: toBoxes("lmtp: {socket: " + boxes.Socket + "}")})
	waitFor(t, "each node to lead a shard, so that it keeps mail that it takes", func(ctx context.Context) bool {
		var s proc.Status
		if c.Query(ctx, &s, "cluster", "status") != nil {
			return false
		}
		leaders := map[string]bool{}
		for _, shard := range s.Shards {
			leaders[shard.Leader] = true
		}
		return len(leaders) == 3 && !leaders[""]
	})
	const each = 10
	for i, n := range c.Nodes {
		for k := range each {
			text := fmt.Sprintf("Subject: letter\r\n\r\nletter %d of %d\r\n", k, i)
			for _, to := range []string{"anna@them.example", "otto@them.example"} {
				if err := submit(n.SMTP, "me@client.example", to, text); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	victim := c.Nodes[0]
	waitFor(t, "attempts that find no Dovecot", func(context.Context) bool {
		n, err := victim.Logged(boxes.Socket)
		return err == nil && n > 0
	})
	victim.Kill()
	boxes.Start(t)
	waitFor(t, "the queue to be empty", func(ctx context.Context) bool {
		var count proc.Count
		return c.Query(ctx, &count, "queue", "count") == nil && count.Total == 0
	})
	for _, user := range []string{"anna@them.example", "otto@them.example"} {
		for protocol, messages := range map[string][]string{"IMAP": boxes.IMAP(t, user), "POP3": boxes.POP3(t, user)} {
			seen := map[string]int{}
			for _, m := range messages {
				_, body, _ := strings.Cut(m, "\r\n\r\n")
				seen[body]++
			}
			for i := range c.Nodes {
				for k := range each {
					if body := fmt.Sprintf("letter %d of %d\r\n", k, i); seen[body] != 1 {
						t.Errorf("%s reads %q %d times by %s", user, body, seen[body], protocol)
					}
				}
			}
			if len(messages) != each*len(c.Nodes) {
				t.Errorf("%s reads %d messages by %s", user, len(messages), protocol)
			}
		}
	}
}

// TestLMTPToHosts: a router's hosts are spoken to by LMTP; a mailbox that is full
// is its own recipient's failure, which the rules end at once, and the sender
// reads why.
func TestLMTPToHosts(t *testing.T) {
	boxes := smtptest.DovecotMailboxes(t, "anna@them.example", "full@them.example bytes=500", "me@them.example")
	boxes.Start(t)
	rows := "transports:\n  - {name: boxes, lmtp: {}}\n" +
		"routers:\n  - {name: local, hosts: [\"" + boxes.Address + "\"], transport: boxes}\n"
	c := started(t, proc.Options{Nodes: 1, Edit: func(_ string, config []byte) []byte {
		text := replaceOnce(t, string(routing.ReplaceAllLiteral(config, []byte(rows))), "retry:\n", "retry:\n  - {name: full, errors: [quota], steps: []}\n")
		return []byte(text)
	}})
	text := "Subject: letter\r\n\r\n" + strings.Repeat("0123456789\r\n", 100)
	for _, to := range []string{"anna@them.example", "full@them.example"} {
		if err := submit(c.Nodes[0].SMTP, "me@them.example", to, text); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the queue to be empty", func(ctx context.Context) bool {
		var count proc.Count
		return c.Query(ctx, &count, "queue", "count") == nil && count.Total == 0
	})
	for user, want := range map[string]string{"anna@them.example": text, "me@them.example": "Status: 5.2.2"} {
		got := boxes.IMAP(t, user)
		if len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%s reads %q", user, got)
		}
	}
	if got := boxes.POP3(t, "full@them.example"); len(got) > 0 {
		t.Errorf("the mailbox that is full has %q", got)
	}
}
