package route

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"quorumta/delivery/route/aliases"
	"quorumta/internal/dns"
	"quorumta/internal/policy"
	"quorumta/internal/tlspolicy"
)

// Resolver is the part of dns.Resolver that routing needs; called from many
// goroutines.
type Resolver interface {
	// LookupMX returns mail exchangers by ascending preference, or an error
	// that is one of package dns.
	LookupMX(ctx context.Context, domain string) ([]dns.MX, dns.Origin, error)
	// LookupHost returns addresses, or an error that is one of package dns.
	LookupHost(ctx context.Context, name string) ([]netip.Addr, dns.Origin, error)
	// LookupSRV returns the hosts of a service, as "_smtp._tcp.example.com", by
	// ascending priority, or an error that is one of package dns.
	LookupSRV(ctx context.Context, service string) ([]dns.SRV, dns.Origin, error)
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
	// Files are those that redirects look addresses up in; nil: none was read.
	Files *aliases.Files
}

// Router is one row of the table; exactly one of Hosts, MX, Accept and Redirect
// is set.
type Router struct {
	Name string
	// If is nil or the condition under which the router is asked for a recipient.
	If *policy.Condition
	// Affix is what is cut off the local-part before it is asked.
	Affix Affix
	// Hosts are groups of "name", "name:port", "address", "[address]:port", and
	// "name/mx" for the mail exchangers of a name; a group is tried when all
	// earlier ones failed.
	Hosts [][]string
	// MX routes by the recipient's domain.
	MX bool
	// Find has the fine points of Hosts and MX.
	Find Find
	// Accept names a transport that needs no hosts.
	Accept string
	// Redirect puts others in the recipient's place.
	Redirect *Redirect
	// Say is what the router says of a recipient that it takes.
	Say Say
	// Flow is which router comes next.
	Flow Flow
	// Port is that of hosts without one, and of MX hosts; 0 means 25.
	Port uint16
	// TLS is "" for TLSTry.
	TLS TLSMode
	// Demand says by DANE and STS which of the domains' demands hold.
	Demand tlspolicy.Demand
	// Transport is how Hosts and those of MX are spoken to; "" for "smtp".
	Transport string
	// Trace says that the hosts are told the trace: they are trusted.
	Trace bool
}

// Flow is which router is asked after one.
type Flow struct {
	// Last: when the router declines, the recipient fails (Exim's "more = false").
	Last bool
	// Pass names the router that is asked when this one passes, a later one; ""
	// for the next.
	Pass string
	// Redirect names the router that is asked first for those in a recipient's
	// place; "" for the first of all.
	Redirect string
}

// Table is a list of routers; safe for concurrent use.
type Table struct {
	hostname string
	resolver Resolver
	own      func(netip.AddrPort) (member string, ok bool)
	random   func(n int) int
	files    *aliases.Files
	routers  []router
	index    map[string]int
}

// router is a Router whose hosts have been read.
type router struct {
	Router
	groups, fallback [][]endpoint
	// key is the Target's, where the router has hosts.
	key string
	// next is the router that is asked when this one passes, first the one that
	// is asked for those that it puts in a recipient's place.
	next, first int
}

// New checks the routers and makes a table of them.
func New(o Options) (*Table, error) {
	t := &Table{
		hostname: canonical(o.Hostname), resolver: o.Resolver, own: o.Own, random: o.Random, files: o.Files,
		index: map[string]int{},
	}
	if t.files == nil {
		t.files = &aliases.Files{Now: time.Now}
	}
	if t.own == nil {
		t.own = func(netip.AddrPort) (string, bool) { return "", false }
	}
	if t.random == nil {
		t.random = rand.IntN
	}
	var faults []error
	for i, r := range o.Routers {
		if _, taken := t.index[r.Name]; r.Name == "" || taken {
			faults = append(faults, fmt.Errorf("router %d: its name %q is empty or taken", i+1, r.Name))
		}
		t.index[r.Name] = i
		checked, err := newRouter(r)
		if err != nil {
			faults = append(faults, fmt.Errorf("router %s: %w", r.Name, err))
		}
		t.routers = append(t.routers, checked)
	}
	return t, errors.Join(append(faults, t.link())...)
}

// link finds the routers that others name.
func (t *Table) link() error {
	var faults []error
	for i := range t.routers {
		r := &t.routers[i]
		r.next = i + 1
		if name := r.Flow.Pass; name != "" {
			n, ok := t.index[name]
			if !ok || n <= i {
				faults = append(faults, fmt.Errorf("router %s: pass_router: %s is no later router", r.Name, name))
			}
			r.next = n
		}
		if name := r.Flow.Redirect; name != "" {
			n, ok := t.index[name]
			if !ok {
				faults = append(faults, fmt.Errorf("router %s: redirect_router: there is no router %s", r.Name, name))
			}
			r.first = n
		}
	}
	return errors.Join(faults...)
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
	for _, is := range []bool{r.MX, len(r.Hosts) > 0, r.Accept != "", r.Redirect != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		return router{}, errors.New("one of hosts, mx, accept and redirect is expected")
	}
	if err := errors.Join(r.Find.check(), r.Affix.check()); err != nil {
		return router{}, err
	}
	checked := router{Router: r}
	for _, group := range r.Hosts {
		endpoints, err := parseGroup(group, r.Port)
		if err != nil {
			return router{}, err
		}
		checked.groups = append(checked.groups, endpoints)
	}
	var err error
	if checked.fallback, err = parseFallback(&r); err != nil {
		return router{}, err
	}
	checked.key = siteKey(&r, checked.groups)
	return checked, nil
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
