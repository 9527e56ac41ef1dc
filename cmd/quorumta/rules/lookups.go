package rules

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"quorumta/delivery/route"
	"quorumta/internal/config"
	"quorumta/internal/config/lookups"
	"quorumta/internal/lookup"
	"quorumta/internal/lookup/ldapdir"
	"quorumta/internal/lookup/sqldb"
)

// Directories are the tables of a file's lookups. They outlive a reload that
// leaves them as they are, with their connections and what they keep. Used by
// one goroutine.
type Directories struct {
	questions metric.Int64Counter
	open      map[string]directory
}

type directory struct {
	settings lookups.Lookup
	// secret is what stands in a file that the settings name.
	secret string
	table  *lookup.Table
}

// NewDirectories makes a set without tables.
func NewDirectories(meter metric.Meter) (*Directories, error) {
	questions, err := meter.Int64Counter("quorumta_lookup_questions",
		metric.WithDescription("Questions to directories outside, by lookup and result: kept, found, none, error, resting."))
	return &Directories{questions: questions, open: map[string]directory{}}, err
}

// lastQuestions is how long a table is left open that a reload has replaced:
// longer than a question takes.
const lastQuestions = time.Minute + 5*time.Second

// Open opens what a file names, and takes over what is as it was. keep has the
// tables take the place of those before; without it nothing has changed.
func (d *Directories) Open(f *config.File) (tables map[string]*lookup.Table, keep func(), err error) {
	next := map[string]directory{}
	tables = map[string]*lookup.Table{}
	for _, l := range f.Lookups {
		x, err := d.one(l)
		if err != nil {
			return nil, nil, fmt.Errorf("lookup %s: %w", l.Name, err)
		}
		next[l.Name], tables[l.Name] = x, x.table
	}
	return tables, sync.OnceFunc(func() {
		for name, old := range d.open {
			if next[name].table != old.table {
				time.AfterFunc(lastQuestions, func() { _ = old.table.Close() })
			}
		}
		d.open = maps.Clone(next)
	}), nil
}

// one is the table that is open with these settings, or a new one.
func (d *Directories) one(l lookups.Lookup) (directory, error) {
	x := directory{settings: l}
	path := ""
	if l.SQL != nil {
		path = l.SQL.DSNFile
	} else {
		path = l.LDAP.PasswordFile
	}
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return x, fmt.Errorf("read its secret: %w", err)
		}
		x.secret = strings.TrimRight(string(text), "\r\n")
	}
	if old, ok := d.open[l.Name]; ok && old.secret == x.secret && reflect.DeepEqual(old.settings, l) {
		return old, nil
	}
	source, err := source(l, x.secret)
	if err != nil {
		return x, err
	}
	x.table = lookup.New(lookup.Options{
		Name: l.Name, Source: source, Timeout: time.Duration(l.Timeout),
		Keep: time.Duration(l.Keep), KeepMissing: time.Duration(l.KeepMissing), Questions: d.questions,
	})
	return x, nil
}

func source(l lookups.Lookup, secret string) (lookup.Source, error) {
	if s := l.SQL; s != nil {
		dsn := s.DSN
		if s.DSNFile != "" {
			dsn = secret
		}
		return sqldb.Open(sqldb.Options{Driver: s.Driver, DSN: dsn, Query: s.Query, Args: s.Args, Connections: l.Connections})
	}
	s := l.LDAP
	o := ldapdir.Options{
		Servers: s.Servers, StartTLS: s.StartTLS, TLS: &tls.Config{MinVersion: tls.VersionTLS12},
		BindDN: s.BindDN, Password: secret, Base: s.Base, Scope: s.Scope, Filter: s.Filter, Attributes: s.Attributes, Connections: l.Connections,
	}
	if s.CA != "" {
		text, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, fmt.Errorf("read the roots: %w", err)
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(text) {
			return nil, errors.New(s.CA + " has no certificates in PEM")
		}
	}
	return ldapdir.Open(o)
}

// named are the lookups that a redirect asks.
func named(names []string, tables map[string]*lookup.Table) []route.Lookup {
	var list []route.Lookup
	for _, name := range names {
		list = append(list, route.Lookup{Name: name, Table: tables[name]})
	}
	return list
}
