// Package dns asks recursive resolvers for what a mail relay needs: mail
// exchangers and addresses. Its errors tell apart what ends a message (a name
// that does not exist, a null MX) from what only delays it.
package dns

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// What a look-up can come to beside an answer. All but ErrTemporary are
// answers of the zone itself and may end a message.
var (
	// ErrNotFound is NXDOMAIN: the name does not exist.
	ErrNotFound = errors.New("no such domain")
	// ErrNoData means that the name exists without records of the type.
	ErrNoData = errors.New("no records of this type")
	// ErrNullMX means that the domain takes no mail (RFC 7505).
	ErrNullMX = errors.New("domain takes no mail (null MX)")
	// ErrTemporary is SERVFAIL, a refusal, a time-out or an unreadable answer
	// of every server: ask again later.
	ErrTemporary = errors.New("temporary DNS failure")
)

// MX is a mail exchanger: Host in lower case A-labels without a final dot.
type MX struct {
	Host       string
	Preference uint16
}

// Options are the settings of a Resolver.
type Options struct {
	// Servers are the recursive resolvers, asked in turn; empty means those of
	// Config.
	Servers []netip.AddrPort
	// Config is a resolv.conf; "" means /etc/resolv.conf.
	Config string
	// Timeout is for one question to one server; 0 means 5 s.
	Timeout time.Duration
	// Tries is how often each server is asked; 0 means twice.
	Tries int
	// CacheSize is how many answers are kept; 0 means 10,000.
	CacheSize int
}

// Resolver asks and remembers; safe for concurrent use.
type Resolver struct{}

// New makes a Resolver; it fails where the file of servers cannot be read.
func New(o Options) (*Resolver, error) { panic("dns: New is not built") }

// LookupMX returns the domain's mail exchangers by ascending preference.
// ErrNoData means that the domain exists and has none: its addresses stand in
// (RFC 5321, section 5.1).
func (r *Resolver) LookupMX(ctx context.Context, domain string) ([]MX, error) {
	panic("dns: LookupMX is not built")
}

// LookupHost returns the name's addresses, IPv6 first; a literal address is
// returned as it is.
func (r *Resolver) LookupHost(ctx context.Context, name string) ([]netip.Addr, error) {
	panic("dns: LookupHost is not built")
}
