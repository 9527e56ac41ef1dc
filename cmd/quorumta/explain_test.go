package main_test

import (
	"context"
	"net"
	"regexp"
	"strings"
	"testing"

	"quorumta/bench/proc"
	"quorumta/delivery/explain"
	"quorumta/internal/admin/api"
)

// TestEveryDecisionIsExplained: whichever node is asked, it says of a message that
// waits which router takes it and why others do not, what holds of TLS, limits and
// the way out, what its host has done, by which retry rule it is tried again, when
// its sender hears of it, and by whose order it waits.
func TestEveryDecisionIsExplained(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String() // refuses connections
	_ = l.Close()
	rows := `transports:
  - {name: nowhere, discard: {}}
  - {name: partner, smtp: {helo: '"out.us.example"'}}
sites: [{name: careful, connections: 3, messages_per_minute: 600}]
routers:
  - {name: sales, if: 'rcpt.domain == "sales.example"', accept: nowhere}
  - {name: rest, hosts: ["` + dead + `"], transport: partner, tls: require}
`
	c := started(t, proc.Options{Nodes: 3, Edit: func(_ string, config []byte) []byte {
		text := string(routing.ReplaceAllLiteral(config, []byte(rows)))
		return []byte(replaceOnce(t, text, "retry:\n", "retry:\n  - {name: hurry, errors: [refused], steps: [F 1h 20m], warn_after: [30m]}\n"))
	}})
	waitFor(t, "orders to be taken", func(context.Context) bool { // all members must have told what they know
		_, _, status := command(t, "site", "suspend", "other.example", "--domain", "--config", c.Nodes[1].Config)
		return status == 0
	})
	if err := submit(c.Nodes[0].SMTP, "me@us.example", "a@them.example", "Subject: x\r\n\r\nx\r\n"); err != nil {
		t.Fatal(err)
	}
	var page api.List
	waitFor(t, "the message to be deferred", func(ctx context.Context) bool {
		return c.Query(ctx, &page, "queue", "list", "--state", "deferred") == nil && len(page.Messages) == 1
	})
	id := string(page.Messages[0].ID)
	waitFor(t, "its leader to tell what is used", func(context.Context) bool { // an attempt has it know the site
		must(t, "queue", "retry", id, "--config", c.Nodes[0].Config)
		out := must(t, "queue", "show", id, "--routes", "--config", c.Nodes[0].Config)
		return regexp.MustCompile(`\d of \d+ connections of this node\n.*rule careful: 3 connections, 600 messages a minute; \d connections here`).MatchString(out)
	})
	for i := range c.Nodes {
		saysAll(t, c.Nodes[i].Config, id,
			`sales: skipped, if: rcpt.domain == "sales.example" is false`,
			"rest: accepted",
			"→ delivered by transport partner, TLS: require",
			"127.0.0.1 ["+strings.Replace(dead, ":", "]:", 1)+" group 0",
			`fails since \d.*, last at node \S+: .*refused; next try \d.*; retry rule hurry, step F 1h 20m`,
			"TLS is encrypted; tls: require; DANE: on, an address has no TLSA records; MTA-STS: off",
			"leaves EHLO out.us.example",
			`rule careful: 3 connections, 600 messages a minute`,
			"retry rule hurry, step F 1h 20m; a failure is final from ",
			"the sender is told of the delay at the first attempt after ",
		)
	}
	must(t, "site", "suspend", "127.0.0.1", "--why", "they asked", "--config", c.Nodes[1].Config)
	saysAll(t, c.Nodes[2].Config, id, "waits by site 127.0.0.1 is suspended by .*: they asked")
	var show api.Show
	decode(t, must(t, "queue", "show", id, "--routes", "--config", c.Nodes[2].Config, "--json"), &show)
	var trace explain.Trace
	decode(t, string(show.Message.Recipients[0].Route), &trace)
	if trace.Router != "rest" || len(trace.Steps) != 2 || len(trace.Hosts) != 1 || trace.Hosts[0].TLS.Needs != "encrypted" || trace.Hosts[0].Bad == "" {
		t.Errorf("%+v", trace)
	}
	must(t, "site", "resume", "127.0.0.1", "--config", c.Nodes[1].Config)
	out := must(t, "test", "address", "a@them.example", "--sender", "me@us.example", "--config", c.Nodes[0].Config)
	for _, want := range []string{"rest: accepted\n", "leaves EHLO out.us.example\n", "rule careful: 3 connections", "return path <me@us.example>\n", "retry rule hurry for refused, "} {
		if !strings.Contains(out, want) {
			t.Errorf("test address has no %q in\n%s", want, out)
		}
	}
	if out := must(t, "test", "retry", "a@them.example", "--error", "timeout", "--config", c.Nodes[0].Config); !strings.Contains(out, "hurry: passes, errors: it is for refused\n") {
		t.Errorf("test retry: %s", out)
	}
	var plain api.Show
	decode(t, must(t, "queue", "show", id, "--config", c.Nodes[2].Config, "--json"), &plain)
	if r := plain.Message.Recipients[0]; r.Route != nil || r.Waits == nil {
		t.Error("no reason, or a route though none was asked for")
	}
}

// saysAll waits until a node says of a message what is wanted, each a regular
// expression but for parentheses and dots.
func saysAll(t *testing.T, config, id string, want ...string) {
	t.Helper()
	var out, missing string
	says := func(context.Context) bool {
		var status int
		if out, _, status = command(t, "queue", "show", id, "--routes", "--config", config); status != 0 {
			return false
		}
		for _, w := range want {
			w = strings.NewReplacer("[", `\[`, "]", `\]`).Replace(w)
			if missing = w; !regexp.MustCompile(w).MatchString(out) {
				return false
			}
		}
		return true
	}
	defer func() {
		if t.Failed() {
			t.Logf("no %s in\n%s", missing, out)
		}
	}()
	waitFor(t, "the node to explain the message", says)
}
