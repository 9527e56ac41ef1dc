// Package route finds where a recipient's mail goes: routers are tried in
// order, and the first one whose condition holds decides.
package route

import (
	"context"
	"net/netip"

	"quorumta/internal/dns"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/queue/state"
)

// Kind is what a Decision does with a recipient.
type Kind uint8

// The kinds of decisions.
const (
	// Deliver sends the message to the Target.
	Deliver Kind = 1
	// Fail ends the recipient with Reply.
	Fail Kind = 2
	// Defer routes again later; Reply says why.
	Defer Kind = 3
)

// Decision is where a recipient's mail goes, or why it goes nowhere.
type Decision struct {
	Kind Kind
	// Router is the one that decided; "" where none took the recipient.
	Router string
	// Target is set for Deliver.
	Target Target
	// Reply is set for Fail and Defer; it is our own, not a remote server's.
	Reply mail.Reply
}

// Target is a site: hosts that are as good as each other or stand in for each
// other, and how to talk to them.
type Target struct {
	// Key names the site: equal keys share connections and limits. It is made
	// of names, ports, preferences, TLS and transport, not of addresses.
	Key string
	// Hosts are in the order to be tried, at least one. A name with several
	// addresses has several entries, IPv6 first.
	Hosts     []Host
	TLS       TLSMode
	Transport string
}

// Host is one address of a host.
type Host struct {
	// Name is what TLS verifies and logs show; an address literal's is the
	// address itself.
	Name string
	Addr netip.Addr
	Port uint16
	// Group is ascending; hosts of one group are equally preferred.
	Group int
}

// TLSMode is what TLS a target wants.
type TLSMode string

// The modes.
const (
	TLSOff TLSMode = "off"
	// TLSTry uses TLS where it is offered, in the clear otherwise (RFC 7435);
	// certificates are not verified.
	TLSTry TLSMode = "try"
	// TLSRequire sends over TLS only; certificates are not verified.
	TLSRequire TLSMode = "require"
	// TLSVerify sends over TLS only, to a certificate for Host.Name.
	TLSVerify TLSMode = "verify"
)

// Resolver is the part of dns.Resolver that routing needs; called from many
// goroutines.
type Resolver interface {
	LookupMX(ctx context.Context, domain string) ([]dns.MX, error)
	LookupHost(ctx context.Context, name string) ([]netip.Addr, error)
}

// Options are the settings of a Table.
type Options struct {
	// Hostname is our own: MX routing never sends to ourselves.
	Hostname string
	Resolver Resolver
	// Routers are tried in order.
	Routers []Router
	// Random returns a number below n, to shuffle equal preferences; nil means
	// math/rand/v2.
	Random func(n int) int
}

// Router is one row of the table; exactly one of Hosts and MX is set.
type Router struct {
	Name string
	// If is nil or the condition under which the router takes a recipient.
	If *policy.Condition
	// Hosts are groups of "name", "name:port", "address", "[address]:port"; a
	// group is tried when all earlier ones failed.
	Hosts [][]string
	// MX routes by the recipient's domain.
	MX bool
	// Port is that of hosts without one, and of MX hosts; 0 means 25.
	Port uint16
	// TLS is "" for TLSTry.
	TLS TLSMode
	// Transport is "" for "smtp".
	Transport string
}

// Table is a list of routers; safe for concurrent use.
type Table struct{}

// New checks the routers and makes a table of them.
func New(o Options) (*Table, error) { panic("route: New is not built") }

// Route decides for the recipient with the index n. Hosts of an operator's
// Rerouted win over all routers.
func (t *Table) Route(ctx context.Context, m *state.Message, n int) Decision {
	panic("route: Route is not built")
}
