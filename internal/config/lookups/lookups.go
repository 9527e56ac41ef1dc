// Package lookups holds the section lookups of the configuration.
package lookups

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"quorumta/internal/config/value"
)

// Lookup is a question to a directory: SQL or LDAP is set.
type Lookup struct {
	Name string `yaml:"name"`
	SQL  *SQL   `yaml:"sql"`
	LDAP *LDAP  `yaml:"ldap"`
	// Timeout is for one question; 0 means 5 s.
	Timeout value.Duration `yaml:"timeout"`
	// Keep is how long an answer is kept, KeepMissing that there is none; 0 means
	// a minute, and 10 s.
	Keep        value.Duration `yaml:"keep"`
	KeepMissing value.Duration `yaml:"keep_missing"`
	// Connections is the most at once; 0 means 4.
	Connections int `yaml:"connections"`
}

// SQL is a query.
type SQL struct {
	// Driver is postgres, mysql or sqlite.
	Driver string `yaml:"driver"`
	// DSN says where the database is, or DSNFile has that in it.
	DSN     string `yaml:"dsn"`
	DSNFile string `yaml:"dsn_file"`
	Query   string `yaml:"query"`
	// Args are key, local or domain, one for each parameter of the query.
	Args []string `yaml:"args"`
}

// LDAP is a search.
type LDAP struct {
	Servers  []string `yaml:"servers"`
	StartTLS bool     `yaml:"starttls"`
	// CA is a file of roots to be trusted in the place of the system's.
	CA           string   `yaml:"ca"`
	BindDN       string   `yaml:"bind_dn"`
	PasswordFile string   `yaml:"password_file"`
	Base         string   `yaml:"base"`
	Scope        string   `yaml:"scope"`
	Filter       string   `yaml:"filter"`
	Attributes   []string `yaml:"attributes"`
}

// Checker is where a file's keys are checked; it is used by one goroutine.
type Checker interface {
	// Fault notes what is wrong at a path.
	Fault(path, what, hint string)
	// Choice checks that a value is one of those that are allowed.
	Choice(path, value string, allowed ...string)
}

// Resolve makes paths absolute: they are relative to the file.
func (l *Lookup) Resolve(dir string) {
	var paths []*string
	if l.SQL != nil {
		paths = append(paths, &l.SQL.DSNFile)
		if l.SQL.Driver == "sqlite" && !strings.HasPrefix(l.SQL.DSN, "file:") {
			paths = append(paths, &l.SQL.DSN)
		}
	}
	if l.LDAP != nil {
		paths = append(paths, &l.LDAP.CA, &l.LDAP.PasswordFile)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// Check looks at all keys.
func (l *Lookup) Check(c Checker) {
	switch {
	case (l.SQL == nil) == (l.LDAP == nil):
		c.Fault("", "a lookup has either sql or ldap", `write sql: {driver: postgres, dsn_file: …, query: …}, or ldap: {servers: [ldaps://…], base: …, filter: "(mail=%s)", attributes: […]}`)
	case l.SQL != nil:
		l.SQL.check(c)
	default:
		l.LDAP.check(c)
	}
	if time.Duration(l.Timeout) > time.Minute {
		c.Fault("timeout", "a question takes a minute at most", "mail that waits for it is in the way of other mail")
	}
	if l.Connections < 0 {
		c.Fault("connections", "it is a number above 0", "")
	}
}

func (s *SQL) check(c Checker) {
	c.Choice("sql.driver", s.Driver, "postgres", "mysql", "sqlite")
	if (s.DSN == "") == (s.DSNFile == "") {
		c.Fault("sql", "where the database is stands in dsn or in dsn_file", "a password belongs into a file: dsn_file")
	}
	secret(c, "sql.dsn_file", s.DSNFile)
	if s.Query == "" {
		c.Fault("sql.query", "query is missing", "query: select goto from alias where address = $1 (? with mysql and sqlite)")
	}
	if strings.Contains(s.Query, "%s") || strings.Contains(s.Query, "%u") {
		c.Fault("sql.query", "the key is a parameter", "write $1 with postgres, ? with mysql and sqlite, without quotes; for parts of it args: [local, domain]")
	}
	for i, name := range s.Args {
		c.Choice("sql.args["+strconv.Itoa(i)+"]", name, "key", "local", "domain")
	}
}

func (l *LDAP) check(c Checker) {
	if len(l.Servers) == 0 {
		c.Fault("ldap.servers", "servers is missing", "servers: [ldaps://ldap.corp.example]")
	}
	for i, s := range l.Servers {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" && u.Scheme != "ldapi" {
			c.Fault("ldap.servers["+strconv.Itoa(i)+"]", strconv.Quote(s)+" is no server", "it begins with ldap://, ldaps:// or ldapi://")
			continue
		}
		if l.StartTLS && u.Scheme != "ldap" {
			c.Fault("ldap.starttls", "starttls is for ldap:// servers", "")
		}
	}
	if (l.BindDN == "") != (l.PasswordFile == "") {
		c.Fault("ldap", "who asks has bind_dn and password_file", "")
	}
	secret(c, "ldap.password_file", l.PasswordFile)
	if l.CA != "" {
		if _, err := os.Stat(l.CA); err != nil {
			c.Fault("ldap.ca", "cannot read "+l.CA, "paths are relative to the file")
		}
	}
	c.Choice("ldap.scope", l.Scope, "", "base", "one", "sub")
	if !strings.Contains(l.Filter, "%") {
		c.Fault("ldap.filter", "the filter does not ask for the key", `filter: "(mail=%s)"; %u is its local-part, %d its domain`)
	}
	if len(l.Attributes) == 0 {
		c.Fault("ldap.attributes", "attributes is missing", "attributes: [mailForwardingAddress]")
	}
}

// secret checks that a file is there and its owner's alone.
func secret(c Checker, path, name string) {
	if name == "" {
		return
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		c.Fault(path, "cannot read "+name, "paths are relative to the file")
	case info.Mode().Perm()&0o077 != 0:
		c.Fault(path, fmt.Sprintf("%s may be read by others (mode %o)", name, info.Mode().Perm()), "chmod 600 it")
	}
}
