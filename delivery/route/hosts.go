package route

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"quorumta/internal/dns"
	"quorumta/internal/tlspolicy"
)

const (
	// maxNames is how many hosts of a target are looked up. RFC 5321, section
	// 5.1 lets a client stop after a reasonable number.
	maxNames = 16
	// maxAddresses is how many addresses of one host are used.
	maxAddresses = 8
)

// endpoint is a host before its addresses are known.
type endpoint struct {
	name string
	port uint16
	// mx: the mail exchangers of the name are meant.
	mx bool
	// weight is that of an SRV record.
	weight int
}

func (e endpoint) String() string {
	if e.mx {
		return e.name + ":" + strconv.Itoa(int(e.port)) + "/mx"
	}
	if strings.Contains(e.name, ":") {
		return "[" + e.name + "]:" + strconv.Itoa(int(e.port))
	}
	return e.name + ":" + strconv.Itoa(int(e.port))
}

func parseGroup(group []string, port uint16) ([]endpoint, error) {
	if len(group) == 0 {
		return nil, errors.New("a group without hosts")
	}
	var endpoints []endpoint
	for _, text := range group {
		e, err := parseEndpoint(text, port)
		if err != nil {
			return nil, err
		}
		endpoints = append(endpoints, e)
	}
	return endpoints, nil
}

// parseEndpoint reads "name", "name:port", "192.0.2.1:25", "2001:db8::1",
// "[2001:db8::1]" and "[2001:db8::1]:25"; "name/mx" and "name:port/mx".
func parseEndpoint(text string, port uint16) (endpoint, error) {
	if len(text) > 3 && strings.EqualFold(text[len(text)-3:], "/mx") {
		e, err := parseEndpoint(text[:len(text)-3], port)
		if _, wrong := netip.ParseAddr(e.name); err == nil && wrong == nil {
			err = fmt.Errorf("host %q: an address has no MX", text)
		}
		e.mx = true
		return e, err
	}
	name, digits := text, ""
	switch {
	case strings.HasPrefix(text, "["):
		end := strings.IndexByte(text, ']')
		if end < 0 {
			return endpoint{}, fmt.Errorf("host %q: a closing bracket is missing", text)
		}
		name, digits = text[1:end], text[end+1:]
		if _, err := netip.ParseAddr(name); err != nil {
			return endpoint{}, fmt.Errorf("host %q: an address is expected in brackets", text)
		}
	case strings.Count(text, ":") == 1:
		colon := strings.IndexByte(text, ':')
		name, digits = text[:colon], text[colon:]
	}
	if digits != "" {
		n, err := strconv.ParseUint(strings.TrimPrefix(digits, ":"), 10, 16)
		if err != nil || n == 0 || digits[0] != ':' {
			return endpoint{}, fmt.Errorf("host %q: a port from 1 to 65535 is expected after the colon", text)
		}
		port = uint16(n)
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		return endpoint{name: addr.Unmap().String(), port: port}, nil
	}
	name = canonical(name)
	if strings.ContainsAny(name, " \t/@:,[]%") || strings.Contains("."+name+".", "..") || !utf8.ValidString(name) {
		return endpoint{}, fmt.Errorf("host %q: name, name:port or [address]:port is expected", text)
	}
	return endpoint{name: name, port: port}, nil
}

// byHosts routes to the router's own list. Nothing here says anything about
// the recipient, so nothing here fails it unless the operator says so.
func (t *Table) byHosts(ctx context.Context, r *router) Decision {
	target := r.target(r.key)
	target.Named = true
	groups, secure, unknown := t.exchangers(ctx, r.groups)
	target.Demand.Secure = secure
	hosts, err := t.resolve(ctx, groups)
	if err == nil {
		err = unknown
	}
	hosts, ignored := r.Find.usable(hosts)
	hosts, loop := t.notOurs(hosts)
	switch {
	case len(hosts) > 0:
		target.Hosts = hosts
		return Decision{Kind: Deliver, Router: r.Name, Target: target}
	case errors.Is(err, dns.ErrTemporary):
		return r.Find.Timeout.instead(deferred(r.Name, "4.4.3", dns.Reason(err)+" for the hosts of router "+r.Name))
	case loop != "":
		return r.Find.Self.instead(deferred(r.Name, "4.4.6", "router "+r.Name+" would send the message back to this relay ("+loop+"): mend its configuration"))
	case ignored:
		return r.Find.NotFound.instead(deferred(r.Name, "4.3.5", "all hosts of router "+r.Name+" have addresses that it ignores: mend its configuration"))
	}
	return r.Find.NotFound.instead(deferred(r.Name, "4.3.5", "no host of router "+r.Name+" exists: mend its configuration"))
}

// exchangers puts the mail exchangers of names in their place. The error says
// why some are missing, as that of resolve. All is secure unless a name has
// come from MX records that nobody vouches for: those that the operator has
// written need nobody (RFC 7672, section 2.2.3).
func (t *Table) exchangers(ctx context.Context, groups [][]endpoint) (all [][]endpoint, secure bool, reason error) {
	secure = true
	for _, group := range groups {
		if !slices.ContainsFunc(group, func(e endpoint) bool { return e.mx }) {
			all = append(all, group)
			continue
		}
		// Of several names in a group, those of equal rank go together.
		var ranks [][]endpoint
		for _, e := range group {
			found := [][]endpoint{{e}}
			if e.mx {
				list, origin, err := t.resolver.LookupMX(ctx, e.name)
				secure = secure && (origin.Secure || errors.Is(err, dns.ErrNoData))
				switch {
				case errors.Is(err, dns.ErrNoData):
					found = [][]endpoint{{{name: e.name, port: e.port}}}
				case errors.Is(err, dns.ErrNotFound), errors.Is(err, dns.ErrNullMX):
					found = nil
				case err != nil:
					found, reason = nil, temporary(err)
				default:
					found = byPreference(list, e.port)
				}
			}
			for i, rank := range found {
				if i == len(ranks) {
					ranks = append(ranks, nil)
				}
				ranks[i] = append(ranks[i], rank...)
			}
		}
		all = append(all, ranks...)
	}
	return all, secure, reason
}

// usable leaves out the hosts that are ignored, and reports whether there were
// some.
func (f *Find) usable(hosts []Host) (rest []Host, ignored bool) {
	if f.Ignore == nil {
		return hosts, false
	}
	rest = slices.DeleteFunc(slices.Clone(hosts), func(h Host) bool { return f.Ignore(h.Addr) })
	return rest, len(rest) < len(hosts)
}

// target has everything but the addresses.
func (r *Router) target(key string) Target {
	return Target{
		Key: key, TLS: r.TLS, Transport: r.Transport, Trace: r.Trace,
		Demand: tlspolicy.Demand{DANE: r.Demand.DANE},
	}
}

// local is the target of Accept: all that goes by the transport is one site.
func local(transport string) Target {
	return Target{Key: "accept " + transport, Transport: transport, Named: true}
}

// siteKey names the site that groups of hosts make.
func siteKey(r *Router, groups [][]endpoint) string {
	var key strings.Builder
	for i, group := range groups {
		if i > 0 {
			key.WriteByte('|')
		}
		names := make([]string, len(group))
		for j, e := range group {
			names[j] = e.String()
		}
		slices.Sort(names)
		key.WriteString(strings.Join(names, ","))
	}
	fmt.Fprintf(&key, " %s %s", r.Transport, r.TLS)
	return key.String()
}

// resolve looks the hosts up, all at once, and puts their addresses in the
// order to be tried. The error, of package dns, says why there are none, or not
// all: it is dns.ErrTemporary as long as one look-up may succeed later.
func (t *Table) resolve(ctx context.Context, groups [][]endpoint) ([]Host, error) {
	type found struct {
		endpoint
		group int
		addrs []netip.Addr
		err   error
	}
	var list []found
	for i, group := range groups {
		shuffled := slices.Clone(group)
		t.shuffle(shuffled)
		for _, e := range shuffled {
			list = append(list, found{endpoint: e, group: i})
		}
	}
	list = list[:min(len(list), maxNames)]
	var lookups sync.WaitGroup
	for i := range list {
		f := &list[i]
		if addr, err := netip.ParseAddr(f.name); err == nil {
			f.addrs = []netip.Addr{addr}
			continue
		}
		lookups.Go(func() { f.addrs, _, f.err = t.resolver.LookupHost(ctx, f.name) })
	}
	lookups.Wait()
	var hosts []Host
	var reason error
	for _, f := range list {
		switch {
		case f.err != nil && !errors.Is(f.err, dns.ErrNotFound) && !errors.Is(f.err, dns.ErrNoData):
			reason = temporary(f.err)
		case reason == nil && len(f.addrs) == 0:
			reason = dns.ErrNotFound
		}
		for _, addr := range f.addrs[:min(len(f.addrs), maxAddresses)] {
			hosts = append(hosts, Host{Name: f.name, Addr: addr, Port: f.port, Group: f.group})
		}
	}
	return hosts, reason
}

// temporary is a look-up's failure without its details.
func temporary(err error) error {
	if errors.Is(err, dns.ErrBogus) {
		return fmt.Errorf("%w: %w", dns.ErrTemporary, dns.ErrBogus)
	}
	return dns.ErrTemporary
}

// notOurs drops hosts that are listeners of this relay; loop names the last of
// them. Without them, who stands in for them gets the mail.
func (t *Table) notOurs(hosts []Host) (others []Host, loop string) {
	for _, h := range hosts {
		at := netip.AddrPortFrom(h.Addr, h.Port)
		if member, ok := t.own(at); ok {
			loop = at.String() + " is a listener of " + member
			continue
		}
		others = append(others, h)
	}
	return others, loop
}

// shuffle puts equal preferences in random order.
func (t *Table) shuffle(list []endpoint) {
	if slices.ContainsFunc(list, func(e endpoint) bool { return e.weight > 0 }) {
		t.weigh(list)
		return
	}
	for i := len(list) - 1; i > 0; i-- {
		j := t.random(i + 1)
		list[i], list[j] = list[j], list[i]
	}
}

// weigh puts hosts in an order in which each is the next one as often as its part
// of the weights says (RFC 2782).
func (t *Table) weigh(list []endpoint) {
	for i := range list {
		total := 0
		for _, e := range list[i:] {
			total += e.weight
		}
		if total == 0 {
			return
		}
		j := i
		for n := t.random(total); n >= list[j].weight; j++ {
			n -= list[j].weight
		}
		list[i], list[j] = list[j], list[i]
	}
}
