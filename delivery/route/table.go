package route

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"

	"quorumta/internal/dns"
	"quorumta/internal/policy"
)

// Resolver is the part of dns.Resolver that routing needs; called from many
// goroutines.
type Resolver interface {
	// LookupMX returns mail exchangers by ascending preference, or an error
	// that is one of package dns.
	LookupMX(ctx context.Context, domain string) ([]dns.MX, dns.Origin, error)
	// LookupHost returns addresses, or an error that is one of package dns.
	LookupHost(ctx context.Context, name string) ([]netip.Addr, dns.Origin, error)
}

// Options are the settings of a Table.
type Options struct {
	// Hostname is our own: MX routing never sends to ourselves.
	Hostname string
	Resolver Resolver
	// Own tells which member of the relay listens at an address, if one does:
	// nothing is sent there. Called from many goroutines; nil: none does.
	Own func(netip.AddrPort) (member string, ok bool)
	// Routers are tried in order.
	Routers []Router
	// Random returns a number below n, to shuffle equal preferences; nil means
	// math/rand/v2.
	Random func(n int) int
}

// Router is one row of the table; exactly one of Hosts, MX and Accept is set.
type Router struct {
	Name string
	// If is nil or the condition under which the router takes a recipient.
	If *policy.Condition
	// Hosts are groups of "name", "name:port", "address", "[address]:port"; a
	// group is tried when all earlier ones failed.
	Hosts [][]string
	// MX routes by the recipient's domain.
	MX bool
	// Accept names a transport that needs no hosts.
	Accept string
	// Port is that of hosts without one, and of MX hosts; 0 means 25.
	Port uint16
	// TLS is "" for TLSTry.
	TLS TLSMode
	// Transport is how Hosts and those of MX are spoken to; "" for "smtp".
	Transport string
	// Trace says that the hosts are told the trace: they are trusted.
	Trace bool
}

// Table is a list of routers; safe for concurrent use.
type Table struct {
	hostname string
	resolver Resolver
	own      func(netip.AddrPort) (member string, ok bool)
	random   func(n int) int
	routers  []router
}

// router is a Router whose hosts have been read.
type router struct {
	Router
	groups [][]endpoint
	// key is the Target's, where the router has hosts.
	key string
}

// New checks the routers and makes a table of them.
func New(o Options) (*Table, error) {
	t := &Table{hostname: canonical(o.Hostname), resolver: o.Resolver, own: o.Own, random: o.Random}
	if t.own == nil {
		t.own = func(netip.AddrPort) (string, bool) { return "", false }
	}
	if t.random == nil {
		t.random = rand.IntN
	}
	var faults []error
	seen := map[string]bool{}
	for i, r := range o.Routers {
		if r.Name == "" || seen[r.Name] {
			faults = append(faults, fmt.Errorf("router %d: its name %q is empty or taken", i+1, r.Name))
		}
		seen[r.Name] = true
		checked, err := newRouter(r)
		if err != nil {
			faults = append(faults, fmt.Errorf("router %s: %w", r.Name, err))
		}
		t.routers = append(t.routers, checked)
	}
	return t, errors.Join(faults...)
}

func newRouter(r Router) (router, error) {
	if r.Port == 0 {
		r.Port = 25
	}
	if r.TLS == "" {
		r.TLS = TLSTry
	}
	if r.Transport == "" {
		r.Transport = "smtp"
	}
	switch r.TLS {
	case TLSOff, TLSTry, TLSRequire, TLSVerify:
	default:
		return router{}, fmt.Errorf("tls: %q is none of off, try, require, verify", r.TLS)
	}
	kinds := 0
	for _, is := range []bool{r.MX, len(r.Hosts) > 0, r.Accept != ""} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		return router{}, errors.New("one of hosts, mx and accept is expected")
	}
	checked := router{Router: r}
	for _, group := range r.Hosts {
		endpoints, err := parseGroup(group, r.Port)
		if err != nil {
			return router{}, err
		}
		checked.groups = append(checked.groups, endpoints)
	}
	checked.key = siteKey(&r, checked.groups)
	return checked, nil
}

// Route decides for the recipient of the facts. Hosts of an operator's Rerouted
// win over all routers.
func (t *Table) Route(ctx context.Context, facts *policy.Facts, hosts []string) Decision {
	if len(hosts) > 0 {
		return t.rerouted(ctx, hosts)
	}
	for i := range t.routers {
		r := &t.routers[i]
		takes, err := r.If.Eval(facts)
		if err != nil {
			// Going on would send mail past a router that may be meant to
			// keep it inside.
			return deferred(r.Name, "4.3.5", "the condition of router "+r.Name+" failed")
		}
		if !takes {
			continue
		}
		if r.Accept != "" {
			return Decision{Kind: Deliver, Router: r.Name, Target: r.local()}
		}
		if r.MX {
			return t.byMX(ctx, r, facts.Rcpt.Domain)
		}
		return t.byHosts(ctx, r)
	}
	return failed("", 550, "5.1.2", "no route to this address")
}

// rerouted tries an operator's hosts in the order they were given.
func (t *Table) rerouted(ctx context.Context, hosts []string) Decision {
	var groups [][]string
	for _, host := range hosts {
		groups = append(groups, []string{host})
	}
	r, err := newRouter(Router{Name: "rerouted", Hosts: groups})
	if err != nil {
		return deferred("rerouted", "4.3.5", "the hosts of the reroute are not usable: reroute again")
	}
	return t.byHosts(ctx, &r)
}

// canonical is a host name as names are compared.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
