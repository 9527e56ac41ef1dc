package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const asking = `lookups:
  - {name: aliases, sql: {driver: postgres, dsn: "host=/run/postgresql", query: "select goto from alias where local = $1 and domain = $2", args: [local, domain]}, keep: 5m, connections: 8}
  - {name: people, ldap: {servers: ["ldap://ldap.corp.example", "ldaps://other.corp.example"], base: "dc=corp", scope: one, filter: "(mail=%s)", attributes: [mail]}, timeout: 2s}
`

func TestLookupsAreChecked(t *testing.T) {
	router := "routers:\n  - {name: aliases, redirect: {lookups: [aliases, people]}}\n"
	text := strings.Replace(example, "routers:\n", router, 1) + asking
	f, err := Load(write(t, text), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Lookups) != 2 || f.Lookups[0].SQL.Args[1] != "domain" || f.Lookups[1].LDAP.Scope != "one" || f.Routers[0].Redirect.Lookups[1] != "people" {
		t.Errorf("%+v", f.Lookups)
	}
	open := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(open, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`name: people, ldap`, `name: aliases, ldap`, "the name aliases is used twice"},
		{`lookups: [aliases, people]`, `lookups: [aliases, peopel]`, "there is no lookup peopel"},
		{`{lookups: [aliases, people]}`, `{lookups: [aliases], data: '"x"'}`, "a redirect has either files, lookups or data"},
		{`driver: postgres`, `driver: oracle`, "sqlite"},
		{`args: [local, domain]`, `args: [local, host]`, "domain"},
		{`dsn: "host=/run/postgresql", `, ``, "stands in dsn or in dsn_file"},
		{`dsn: "host=/run/postgresql", `, `dsn_file: /none, `, "cannot read /none"},
		{`dsn: "host=/run/postgresql", `, `dsn_file: ` + open + `, `, "may be read by others"},
		{`query: "select goto from alias where local = $1 and domain = $2"`, `query: "select goto from alias where address = '%s'"`, "the key is a parameter"},
		{`"ldap://ldap.corp.example"`, `ldap.corp.example`, "is no server"},
		{`base: "dc=corp"`, `bind_dn: "cn=x"`, "who asks has bind_dn and password_file"},
		{`base: "dc=corp"`, `starttls: true`, "starttls is for ldap:// servers"},
		{`scope: one`, `scope: two`, "sub"},
		{`(mail=%s)`, `(mail=x)`, "does not ask for the key"},
		{`, attributes: [mail]`, ``, "attributes is missing"},
		{`timeout: 2s`, `timeout: 2h`, "a minute at most"},
		{`connections: 8`, `connections: -8`, "a number above 0"},
		{`ldap: {servers`, `sql: {driver: sqlite, dsn: x, query: x}, ldap: {servers`, "either sql or ldap"},
	} {
		if !strings.Contains(text, c.old) {
			t.Fatalf("the example has no %q", c.old)
		}
		if _, err := Load(write(t, strings.Replace(text, c.old, c.new, 1)), ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got\n%v\nwant\n%s", c.new, err, c.want)
		}
	}
}
