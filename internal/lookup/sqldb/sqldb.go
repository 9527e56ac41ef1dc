// Package sqldb asks databases by SQL: PostgreSQL, MySQL and MariaDB, SQLite.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	"modernc.org/sqlite"

	"quorumta/internal/lookup"
)

// Drivers are the names of the configuration, with those of the libraries.
var Drivers = map[string]string{"postgres": "pgx", "mysql": "mysql", "sqlite": "sqlite"}

const (
	// mostRows bounds an answer.
	mostRows = 10_000
	// connIdle and connAge are how long a connection is kept without a question,
	// and in all: so one to a server that has lost its part is not kept for ever.
	connIdle = time.Minute
	connAge  = 10 * time.Minute
)

// Options are the settings of a Source.
type Options struct {
	// Driver is one of Drivers, DSN what its library takes.
	Driver, DSN string
	// Query has a parameter for each of Args, which are key, local or domain; none
	// mean the key. Its first column is the answer.
	Query string
	Args  []string
	// Connections is the most at once; 0 means 4.
	Connections int
}

// Source is a query to a database; it implements lookup.Source.
type Source struct {
	db    *sql.DB
	query string
	args  []string
}

// Open prepares a source; the database is connected to when it is asked. An error
// says that the DSN cannot be read.
func Open(o Options) (*Source, error) {
	db, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if o.Connections == 0 {
		o.Connections = 4
	}
	db.SetMaxOpenConns(o.Connections)
	db.SetMaxIdleConns(o.Connections)
	db.SetConnMaxIdleTime(connIdle)
	db.SetConnMaxLifetime(connAge)
	s := &Source{db: db, query: o.Query, args: o.Args}
	if len(s.args) == 0 {
		s.args = []string{"key"}
	}
	return s, nil
}

func open(o Options) (*sql.DB, error) {
	if o.Driver != "mysql" {
		return sql.Open(Drivers[o.Driver], o.DSN)
	}
	settings, err := mysql.ParseDSN(o.DSN)
	if err != nil {
		return nil, err
	}
	settings.Logger = &mysql.NopLogger{} // what it tells is in the errors too
	connector, err := mysql.NewConnector(settings)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// Close implements lookup.Source.
func (s *Source) Close() error { return s.db.Close() }

// Lookup implements lookup.Source. The key is a parameter of the query, never a
// part of its text.
func (s *Source) Lookup(ctx context.Context, key string) ([]string, error) {
	args := make([]any, len(s.args))
	for i, name := range s.args {
		part, ok := lookup.Part(key, name)
		if !ok {
			return nil, nil
		}
		args[i] = part
	}
	values, err := s.ask(ctx, args)
	if answered(err) {
		err = lookup.Refused(err)
	}
	return values, err
}

func (s *Source) ask(ctx context.Context, args []any) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, s.query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var values []string
	for rows.Next() {
		var value sql.NullString
		into := make([]any, len(columns))
		for i := range into {
			into[i] = new(any)
		}
		into[0] = &value
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		if len(values) == mostRows {
			return nil, lookup.Refused(errors.New("more than 10,000 rows"))
		}
		if value.Valid && value.String != "" {
			values = append(values, value.String)
		}
	}
	return values, rows.Err()
}

// answered reports whether an error is the answer of a database that works, as to
// a query that it cannot read. One that takes no more connections does not.
func answered(err error) bool {
	var ofPostgres *pgconn.PgError
	var ofMySQL *mysql.MySQLError
	var ofSQLite *sqlite.Error
	switch {
	case errors.As(err, &ofPostgres): // data, and syntax or rights: classes of SQLSTATE
		return strings.HasPrefix(ofPostgres.Code, "22") || strings.HasPrefix(ofPostgres.Code, "42")
	case errors.As(err, &ofMySQL):
		return strings.HasPrefix(string(ofMySQL.SQLState[:]), "22") || strings.HasPrefix(string(ofMySQL.SQLState[:]), "42")
	case errors.As(err, &ofSQLite):
		return ofSQLite.Code()&0xff == 1 // SQLITE_ERROR
	}
	return false
}
