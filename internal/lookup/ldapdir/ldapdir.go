// Package ldapdir asks directories by LDAP (RFC 4511).
package ldapdir

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"quorumta/internal/lookup"
)

// Options are the settings of a Source.
type Options struct {
	// Servers are URLs, "ldap://host:port", "ldaps://host" or "ldapi://%2Frun%2Fldapi",
	// tried in order.
	Servers []string
	// StartTLS has a connection to an ldap server encrypted before it is used.
	StartTLS bool
	TLS      *tls.Config
	// BindDN and Password are who asks; "" for nobody.
	BindDN, Password string
	// Base and Scope (base, one or sub, which is "") say where is searched, Filter
	// for what: %s in it stands for the key, %u for the local-part and %d for the
	// domain, each escaped (RFC 4515, section 3).
	Base, Scope, Filter string
	// Attributes are those whose values are the answer.
	Attributes []string
	// Connections is the most at once; 0 means 4.
	Connections int
}

// Source is a search in a directory; it implements lookup.Source.
type Source struct {
	o Options
	// turns has a place for each connection; idle are those that nobody uses.
	turns chan struct{}
	idle  chan *ldap.Conn
}

const (
	// mostEntries bounds an answer.
	mostEntries = 1000
	// dialTimeout is for a server that another one follows.
	dialTimeout = 2 * time.Second
)

// Open prepares a source; a server is connected to when it is asked. An error
// says which setting cannot be used.
func Open(o Options) (*Source, error) {
	if o.Connections == 0 {
		o.Connections = 4
	}
	s := &Source{o: o, turns: make(chan struct{}, o.Connections), idle: make(chan *ldap.Conn, o.Connections)}
	if _, _, err := s.filter("x@x"); err != nil {
		return nil, err
	}
	return s, nil
}

// Close implements lookup.Source.
func (s *Source) Close() error {
	for {
		select {
		case c := <-s.idle:
			_ = c.Close()
		default:
			return nil
		}
	}
}

// filter is the filter for a key; false where the key has no such part.
func (s *Source) filter(key string) (text string, ok bool, err error) {
	var b strings.Builder
	rest := s.o.Filter
	for {
		before, after, found := strings.Cut(rest, "%")
		b.WriteString(before)
		if !found {
			break
		}
		name := map[byte]string{'s': "key", 'u': "local", 'd': "domain"}
		switch {
		case after != "" && after[0] == '%':
			b.WriteByte('%')
		case after != "" && name[after[0]] != "":
			part, ok := lookup.Part(key, name[after[0]])
			if !ok {
				return "", false, nil
			}
			b.WriteString(ldap.EscapeFilter(part))
		default:
			return "", false, fmt.Errorf("filter %s: behind %% stands s, u, d or another %%", s.o.Filter)
		}
		rest = after[1:]
	}
	if _, err := ldap.CompileFilter(b.String()); err != nil {
		return "", false, fmt.Errorf("filter %s: %w", s.o.Filter, err)
	}
	return b.String(), true, nil
}

// Lookup implements lookup.Source.
func (s *Source) Lookup(ctx context.Context, key string) ([]string, error) {
	filter, ok, err := s.filter(key)
	if err != nil || !ok {
		return nil, err
	}
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		c, reused, err := s.connection(ctx)
		if err != nil {
			return nil, err
		}
		values, err := s.search(ctx, c, filter)
		var answered *ldap.Error
		if errors.As(err, &answered) && answered.ResultCode < ldap.ErrorNetwork && answered.ResultCode != ldap.LDAPResultUnavailable {
			s.keep(c)
			if answered.ResultCode == ldap.LDAPResultNoSuchObject {
				return nil, nil
			}
			return nil, lookup.Refused(err)
		}
		if err == nil {
			s.keep(c)
			return values, nil
		}
		_ = c.Close()
		if !reused || ctx.Err() != nil { // one that was open may have been closed meanwhile
			return nil, err
		}
	}
}

func (s *Source) keep(c *ldap.Conn) {
	select {
	case s.idle <- c:
	default:
		_ = c.Close()
	}
}

// connection is one that is open, or a new one to the first server that gives
// one.
func (s *Source) connection(ctx context.Context) (c *ldap.Conn, reused bool, err error) {
	for {
		select {
		case c := <-s.idle:
			if c.IsClosing() {
				continue
			}
			return c, true, nil
		default:
		}
		break
	}
	var errs []error
	for i, server := range s.o.Servers {
		c, err := s.dial(ctx, server, i+1 < len(s.o.Servers))
		if err == nil {
			return c, false, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", server, err))
	}
	return nil, false, errors.Join(errs...)
}

// left is how much of ctx's time is left.
func left(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return max(time.Until(deadline), time.Millisecond)
	}
	return 5 * time.Second
}

// dial connects to a server and says who asks.
func (s *Source) dial(ctx context.Context, server string, others bool) (*ldap.Conn, error) {
	timeout := left(ctx)
	if others {
		timeout = min(timeout, dialTimeout)
	}
	config := s.o.TLS.Clone()
	if u, err := url.Parse(server); err == nil && config != nil && config.ServerName == "" {
		config.ServerName = u.Hostname()
	}
	c, err := ldap.DialURL(server, ldap.DialWithDialer(&net.Dialer{Timeout: timeout}), ldap.DialWithTLSConfig(config))
	if err != nil {
		return nil, err
	}
	c.SetTimeout(left(ctx))
	if s.o.StartTLS {
		if err := c.StartTLS(config); err != nil {
			_ = c.Close()
			return nil, fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if s.o.BindDN != "" {
		if err := c.Bind(s.o.BindDN, s.o.Password); err != nil {
			_ = c.Close()
			return nil, fmt.Errorf("bind as %s: %w", s.o.BindDN, err)
		}
	}
	return c, nil
}

var scopes = map[string]int{
	"": ldap.ScopeWholeSubtree, "sub": ldap.ScopeWholeSubtree, "one": ldap.ScopeSingleLevel, "base": ldap.ScopeBaseObject,
}

// search asks over a connection.
func (s *Source) search(ctx context.Context, c *ldap.Conn, filter string) ([]string, error) {
	timeout := left(ctx)
	c.SetTimeout(timeout)
	found, err := c.Search(ldap.NewSearchRequest(
		s.o.Base, scopes[s.o.Scope], ldap.NeverDerefAliases, mostEntries, int(timeout/time.Second)+1, false, filter, s.o.Attributes, nil,
	))
	if err != nil {
		return nil, err
	}
	var values []string
	for _, entry := range found.Entries {
		for _, name := range s.o.Attributes {
			for _, v := range entry.GetEqualFoldAttributeValues(name) {
				if v != "" {
					values = append(values, v)
				}
			}
		}
	}
	return values, nil
}
