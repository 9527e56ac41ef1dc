package main_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	gosmtp "github.com/emersion/go-smtp"
	_ "modernc.org/sqlite" // the driver sqlite

	"quorumta/bench/proc"
)

const directories = `
lookups:
  - {name: people, sql: {driver: sqlite, dsn: %q, query: "select goto from alias where address = ?"}, keep: 1s, keep_missing: 1s}
  - {name: away, ldap: {servers: ["ldap://127.0.0.1:9"], base: "dc=example", filter: "(mail=%%s)", attributes: [mail]}}
`

const directoryRouters = `  - {name: people, if: rcpt.domain == "corp.example", redirect: {lookups: [people]}, more: false}
  - {name: away, if: rcpt.domain == "away.example", redirect: {lookups: [away]}}
`

// TestAliasesFromADatabase: who is in the place of an address stands in a table;
// who is not in it fails, and where the directory cannot be asked mail waits
// until it can.
func TestAliasesFromADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alias.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	run := func(query string, args ...any) {
		t.Helper()
		if _, err := db.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	run("create table alias (address text, goto text)")
	run("insert into alias values ('info@corp.example', 'ann@else.example'), ('info@corp.example', 'bob@else.example, carl@else.example')")
	run("insert into alias values ('@catch.corp.example', 'all@else.example'), ('gone@corp.example', ':fail: 550 5.1.6 moved')")
	var next office
	server := gosmtp.NewServer(&next)
	server.Domain = "last.example"
	c := started(t, proc.Options{
		Nodes: 1, Smarthost: listen(t, server),
		Edit: func(name string, config []byte) []byte {
			text := strings.Replace(string(quickRetry(name, config)), "  - {name: smarthost", directoryRouters+"  - {name: smarthost", 1)
			return append([]byte(text), fmt.Sprintf(directories, path)...)
		},
	})
	node := c.Nodes[0]
	got := func() map[string]int {
		next.mu.Lock()
		defer next.mu.Unlock()
		all := map[string]int{}
		for _, m := range next.got {
			for _, to := range strings.Fields(m.to) {
				all[to]++
			}
		}
		return all
	}
	send := func(to string) {
		t.Helper()
		if err := submit(node.SMTP, "a@example.org", to, "Subject: x\r\n\r\nx\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	send("INFO@corp.example")
	waitFor(t, "those in its place", func(context.Context) bool {
		all := got()
		return all["ann@else.example"] == 1 && all["bob@else.example"] == 1 && all["carl@else.example"] == 1
	})
	if out := must(t, "test", "address", "info@corp.example", "--config", node.Config); !strings.Contains(out, "lookup people, info@corp.example") {
		t.Errorf("test address: %s", out)
	}
	if out, _, _ := command(t, "test", "address", "nobody@corp.example", "--config", node.Config); !strings.Contains(out, "people does not know it") {
		t.Errorf("test address: %s", out)
	}
	if out, _, _ := command(t, "test", "address", "gone@corp.example", "--config", node.Config); !strings.Contains(out, "5.1.6 moved") {
		t.Errorf("test address: %s", out)
	}
	if out, _, _ := command(t, "test", "address", "x@away.example", "--config", node.Config); !strings.Contains(out, "4.4.3") || !strings.Contains(out, "connection refused") {
		t.Errorf("test address: %s", out)
	}

	// A directory that cannot answer has mail wait, not bounce.
	run("alter table alias rename to elsewhere")
	send("new@corp.example")
	waitFor(t, "it to wait for the directory", func(context.Context) bool {
		out, _, _ := command(t, "queue", "list", "--config", node.Config, "--json")
		return strings.Contains(out, "no such table")
	})
	run("alter table elsewhere rename to alias")
	run("insert into alias values ('new@corp.example', 'new@else.example')")
	waitFor(t, "it to go when the directory is back", func(context.Context) bool { return got()["new@else.example"] == 1 })
}
