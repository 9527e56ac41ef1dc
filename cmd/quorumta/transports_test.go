package main_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"quorumta/bench/proc"
)

// TestLocalTransports: a file leads mail into Maildirs, to a command, to a web
// server and nowhere, with what each of them says of it on record.
func TestLocalTransports(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: commands do not run as the node's own user then")
	}
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) { // others walk there
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	var uid int
	if _, err := fmt.Sscan(nobody.Uid, &uid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, -1); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	posted := map[string]string{}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		posted[r.URL.Path] = string(body)
	}))
	t.Cleanup(hook.Close)
	rows := fmt.Sprintf(`transports:
  - {name: hook, http: {url: "%[2]s/${rcpt.domain}/${rcpt.local}"}}
  - {name: boxes, maildir: {path: '"%[1]s/" + rcpt.local', user: nobody, quota: 100KB}}
  - {name: command, pipe: {command: [/bin/sh, -c, 'cat > "$1"; echo "$LOCAL_PART is away" >&2; test "$LOCAL_PART" = ok || exit 67', sh, "%[1]s/${rcpt.local}.txt"], user: nobody}}
  - {name: nowhere, discard: {}}
routers:
  - {name: reports, if: 'sender.address == ""', accept: boxes}
  - {name: box, if: rcpt.domain == "box.example", accept: boxes}
  - {name: command, if: rcpt.domain == "command.example", accept: command}
  - {name: hook, if: rcpt.domain == "hook.example", accept: hook}
  - {name: rest, accept: nowhere}
`, dir, hook.URL)
	c := started(t, proc.Options{Nodes: 1, Edit: func(_ string, config []byte) []byte { return routing.ReplaceAllLiteral(config, []byte(rows)) }})
	for _, to := range []string{"anna@box.example", "ok@command.example", "otto@command.example", "i@hook.example", "who@rest.example"} {
		if err := submit(c.Nodes[0].SMTP, "me@client.example", to, "Subject: letter\r\n\r\nto "+to+"\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the queue to be empty", func(ctx context.Context) bool {
		var count proc.Count
		return c.Query(ctx, &count, "queue", "count") == nil && count.Total == 0
	})
	read := func(pattern string) string {
		t.Helper()
		names, _ := filepath.Glob(filepath.Join(dir, pattern))
		if len(names) != 1 {
			t.Fatalf("%s: %v", pattern, names)
		}
		text, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for pattern, to := range map[string]string{"anna/new/*": "anna@box.example", "ok.txt": "ok@command.example", "otto.txt": "otto@command.example"} {
		text := read(pattern)
		if !strings.HasPrefix(text, "Return-Path: <me@client.example>\nDelivered-To: "+to+"\nReceived: ") || !strings.HasSuffix(text, "\nSubject: letter\n\nto "+to+"\n") {
			t.Errorf("%s: %s", pattern, text)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if text := posted["/hook.example/i"]; len(posted) != 1 || !strings.HasPrefix(text, "Received: ") || !strings.HasSuffix(text, "\r\nSubject: letter\r\n\r\nto i@hook.example\r\n") {
		t.Errorf("%q", posted)
	}
	// The sender learns what the command has said, and nothing of the others.
	report := read("me/new/*")
	if !strings.Contains(report, "otto is away") || !strings.Contains(report, "5.1.1") || strings.Contains(report, "ok@command.example") {
		t.Error(report)
	}
	events, err := c.Events(t.Context())
	if err != nil || !strings.Contains(string(events), "discarded") {
		t.Errorf("nothing was discarded on record: %v\n%s", err, events)
	}
}
