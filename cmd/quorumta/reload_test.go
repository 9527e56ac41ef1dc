package main_test

import (
	"bytes"
	"context"
	"net/smtp"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"quorumta/bench/proc"
	"quorumta/bench/sink"
	"quorumta/bench/trial"
)

// hosts is where a router of init's sends mail to.
var hosts = regexp.MustCompile(`(name: smarthost, hosts: )\[[^\]]*\]`)

// reload changes a node's configuration, has it read again, and waits until the
// node has said so; it returns what the node logged since.
func reload(t *testing.T, n *proc.Node, edit func(string) string) string {
	t.Helper()
	before := logOf(t, n)
	text, err := os.ReadFile(n.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.Config, []byte(edit(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	var said string
	waitFor(t, "the node to have reloaded", func(context.Context) bool {
		said = strings.TrimPrefix(logOf(t, n), before)
		return strings.Contains(said, `"configuration reloaded"`) || strings.Contains(said, "configuration is not taken")
	})
	return said
}

func logOf(t *testing.T, n *proc.Node) string {
	t.Helper()
	text, err := os.ReadFile(n.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text[:bytes.LastIndexByte(text, '\n')+1])
}

func TestReload(t *testing.T) {
	tr := try(t, trial.Options{Nodes: 1})
	node := tr.Cluster.Nodes[0]
	other := sinkFor(t)
	send := func(id string) error {
		return submit(node.SMTP, "a@client.example", "b@sink.example", "X-Bench-ID: "+id+"\r\n\r\nx\r\n")
	}
	arrives := func(what string, s *sink.Sink, n int64) {
		t.Helper()
		waitFor(t, what, func(context.Context) bool { return s.Stats().Messages == n })
	}
	if err := send("before-1"); err != nil {
		t.Fatal(err)
	}
	arrives("mail on the old way", tr.Sink, 1)
	open, err := smtp.Dial(node.SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	w := begin(t, open)

	said := reload(t, node, func(text string) string {
		text = hosts.ReplaceAllString(text, `${1}["`+other.Address()+`"]`)
		text = replaceOnce(t, text, "message: 50MB", "message: 1KB")
		text = replaceOnce(t, text, "history: 7d", "history: 8d")
		return text + "drain_grace: 1s\n"
	})
	for _, word := range []string{`"changed":"limits routers drain_grace"`, `"keys":"keep.history"`} {
		if !strings.Contains(said, word) {
			t.Errorf("the log does not say %s:\n%s", word, said)
		}
	}
	if err := send("after-1"); err != nil {
		t.Fatal(err)
	}
	arrives("mail on the new way", other, 1)
	if err := submit(node.SMTP, "a@client.example", "b@sink.example", strings.Repeat("x\r\n", 1000)); err == nil || !strings.HasPrefix(err.Error(), "552") {
		t.Errorf("the new limit on size: %v", err)
	}
	if _, err := w.Write([]byte("X-Bench-ID: open-1\r\n\r\n" + strings.Repeat("x\r\n", 1000))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("a session that was open is disturbed: %v", err)
	}
	arrives("its mail", other, 2)

	said = reload(t, node, func(text string) string { return replaceOnce(t, text, "F 2h 15m", "F 2 hours") })
	if !strings.Contains(said, "not taken") {
		t.Errorf("a bad file is taken:\n%s", said)
	}
	if err := send("after-2"); err != nil {
		t.Fatal(err)
	}
	arrives("mail after a bad file", other, 3)
}

// The level of the log follows the file, and the change itself is told at any.
func TestLogLevelIsReloaded(t *testing.T) {
	tr := try(t, trial.Options{Nodes: 1})
	node := tr.Cluster.Nodes[0]
	logged := func(level string) string {
		said := reload(t, node, func(text string) string {
			return logLine.ReplaceAllString(text, "log: {format: json, level: "+level+"}")
		})
		if !strings.Contains(said, `"changed":"log.level"`) || strings.Contains(said, "restart") {
			t.Errorf("level %s: %s", level, said)
		}
		before, count := logOf(t, node), tr.Sink.Stats().Messages
		if err := submit(node.SMTP, "a@b.example", "c@sink.example", "X-Bench-ID: "+level+"\r\n\r\nx\r\n"); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the message to arrive", func(context.Context) bool { return tr.Sink.Stats().Messages > count })
		return strings.TrimPrefix(logOf(t, node), before)
	}
	if text := logged("warn"); text != "" {
		t.Errorf("at warn there is logged:\n%s", text)
	}
	if text := logged("debug"); !strings.Contains(text, `"accepted"`) {
		t.Errorf("at debug no message is logged:\n%s", text)
	}
}

// logLine is what init writes about the log.
var logLine = regexp.MustCompile(`(?m)^log: .*$`)

// sinkFor is another sink beside the trial's.
func sinkFor(t *testing.T) *sink.Sink {
	t.Helper()
	s, err := sink.Listen(sink.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return s
}

// TestOwnListeners: a router that sends mail back to the relay, be it to another
// node, is found out before anything is sent.
func TestOwnListeners(t *testing.T) {
	tr := try(t, trial.Options{Nodes: 3})
	for _, n := range tr.Cluster.Nodes {
		reload(t, n, func(text string) string {
			return hosts.ReplaceAllString(text, `${1}["`+tr.Cluster.Nodes[1].SMTP+`"]`)
		})
	}
	if err := submit(tr.Cluster.Nodes[0].SMTP, "a@client.example", "b@sink.example", "Subject: around\r\n\r\nx\r\n"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the reason on record", func(ctx context.Context) bool {
		events, err := tr.Cluster.Events(ctx)
		return err == nil && bytes.Contains(events, []byte("would send the message back to this relay")) &&
			bytes.Contains(events, []byte("is a listener of n2"))
	})
}
