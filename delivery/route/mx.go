package route

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"quorumta/internal/dns"
)

// byMX routes by the DNS (RFC 5321, section 5.1).
func (t *Table) byMX(ctx context.Context, r *router, domain string) Decision {
	if strings.HasPrefix(domain, "[") {
		return t.byLiteral(r, domain)
	}
	if domain == "" {
		return failed(r.Name, 550, "5.1.3", "the address has no domain")
	}
	f := &r.Find
	found, d := t.mailHosts(ctx, r, domain)
	if found == nil {
		return d
	}
	back := failed(r.Name, 554, "5.4.6", "the MX of "+domain+" points back to this relay, which has no other route for it")
	second := declined(r.Name, "this relay is no secondary MX of "+domain)
	switch {
	case len(found.groups) == 0 && f.Secondary:
		return second
	case len(found.groups) == 0:
		return f.Self.instead(back)
	}
	target := r.target(siteKey(&r.Router, found.groups))
	target.Demand.Domain = canonical(domain)
	if !found.service { // MTA-STS speaks of MX hosts
		target.Demand.STS, target.Demand.Alias = r.Demand.STS, found.origin.Name
	}
	// Where the domain is the host nobody has to vouch for a name.
	target.Demand.Secure = found.origin.Secure || found.implicit
	hosts, err := t.resolve(ctx, found.groups)
	hosts, loop := t.before(hosts)
	hosts, ignored := f.usable(hosts)
	switch {
	case f.Secondary && !found.second && (loop == "" || len(hosts) == 0):
		return second
	case len(hosts) > 0:
		target.Hosts = hosts
		return Decision{Kind: Deliver, Router: r.Name, Target: target}
	case errors.Is(err, dns.ErrTemporary):
		return f.Timeout.instead(deferred(r.Name, "4.4.3", dns.Reason(err)+" for the mail hosts of "+domain)).bogus(domain, err)
	case loop != "":
		back.Reply.Text = "the MX of " + domain + " points back to this relay (" + loop + "), which has no other route for it"
		return f.Self.instead(back)
	case ignored:
		return f.NotFound.instead(failed(r.Name, 550, "5.4.4", "the mail hosts of "+domain+" have no address that is reached from here"))
	case found.implicit:
		return f.missing(domain, failed(r.Name, 550, "5.1.2", "domain "+domain+" has neither MX nor address"))
	}
	return f.missing(domain, failed(r.Name, 550, "5.4.4", "the MX hosts of "+domain+" have no address"))
}

// missing is the decision about a domain that is not there.
func (f *Find) missing(domain string, of Decision) Decision {
	if holds(f.FailDefer, domain) {
		return ActDefer.instead(of)
	}
	return f.NotFound.instead(of)
}

// mailHosts are what the DNS says of a domain, without ourselves.
type mailHosts struct {
	groups [][]endpoint
	// implicit: there is no MX; the domain's own address is meant.
	implicit bool
	// second: we are among them, and others are preferred.
	second bool
	// service: they are from SRV records.
	service bool
	origin  dns.Origin
}

// mailHosts asks the DNS for the hosts of a domain; nil where the Decision says
// why there are none.
func (t *Table) mailHosts(ctx context.Context, r *router, domain string) (*mailHosts, Decision) {
	if found, d := t.services(ctx, r, domain); found != nil || d.Kind != 0 {
		return found, d
	}
	f := &r.Find
	list, origin, err := t.resolver.LookupMX(ctx, domain)
	implicit := errors.Is(err, dns.ErrNoData) || errors.Is(err, dns.ErrTemporary) && holds(f.MXFail, domain)
	switch {
	case err == nil:
	case implicit && holds(f.MXDomains, domain):
		return nil, f.missing(domain, failed(r.Name, 550, "5.1.2", "domain "+domain+" has no MX"))
	case implicit:
		list = []dns.MX{{Host: canonical(domain)}}
	case errors.Is(err, dns.ErrNullMX):
		// RFC 7505, section 4.
		return nil, failed(r.Name, 556, "5.1.10", "domain "+domain+" takes no mail (null MX)")
	case errors.Is(err, dns.ErrNotFound):
		return nil, f.missing(domain, failed(r.Name, 550, "5.1.2", "domain "+domain+" does not exist"))
	default:
		return nil, f.Timeout.instead(deferred(r.Name, "4.4.3", dns.Reason(err)+" for the MX of "+domain)).bogus(domain, err)
	}
	before := t.beforeUs(list)
	return &mailHosts{
		groups: byPreference(before, r.Port), implicit: implicit, origin: origin,
		second: len(before) > 0 && len(before) < len(list),
	}, Decision{}
}

// services asks for SRV records (RFC 2782); neither hosts nor a Decision where
// there are none.
func (t *Table) services(ctx context.Context, r *router, domain string) (*mailHosts, Decision) {
	if r.Find.SRV == "" {
		return nil, Decision{}
	}
	list, origin, err := t.resolver.LookupSRV(ctx, "_"+r.Find.SRV+"._tcp."+canonical(domain))
	switch {
	case errors.Is(err, dns.ErrNotFound), errors.Is(err, dns.ErrNoData):
		return nil, Decision{}
	case errors.Is(err, dns.ErrNoService):
		return nil, failed(r.Name, 556, "5.1.10", "domain "+domain+" does not have this service (SRV)")
	case err != nil:
		return nil, r.Find.Timeout.instead(deferred(r.Name, "4.4.3", dns.Reason(err)+" for the SRV of "+domain))
	}
	found := mailHosts{service: true, origin: origin}
	for i, srv := range list {
		if i == 0 || srv.Priority != list[i-1].Priority {
			found.groups = append(found.groups, nil)
		}
		last := len(found.groups) - 1
		found.groups[last] = append(found.groups[last], endpoint{name: canonical(srv.Target), port: srv.Port, weight: int(srv.Weight)})
	}
	return &found, Decision{}
}

// byLiteral routes to the address in the brackets (RFC 5321, section 4.1.3).
func (t *Table) byLiteral(r *router, domain string) Decision {
	text := strings.TrimSuffix(strings.TrimPrefix(domain, "["), "]")
	if len(text) > 5 && strings.EqualFold(text[:5], "ipv6:") {
		text = text[5:]
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || !strings.HasSuffix(domain, "]") {
		return failed(r.Name, 550, "5.1.2", "not a usable address literal")
	}
	addr = addr.Unmap().WithZone("")
	target := r.target(siteKey(&r.Router, [][]endpoint{{{name: addr.String(), port: r.Port}}}))
	hosts, loop := t.notOurs([]Host{{Name: addr.String(), Addr: addr, Port: r.Port}})
	if loop != "" {
		return r.Find.Self.instead(failed(r.Name, 554, "5.4.6", "the address literal points back to this relay ("+loop+")"))
	}
	if hosts, _ = r.Find.usable(hosts); len(hosts) == 0 {
		return r.Find.NotFound.instead(failed(r.Name, 550, "5.4.4", "the address literal is none that is reached from here"))
	}
	target.Hosts = hosts
	return Decision{Kind: Deliver, Router: r.Name, Target: target}
}

// beforeUs drops ourselves and whoever is not preferred over us, as they would
// hand the mail back (RFC 5321, section 5.1).
func (t *Table) beforeUs(exchangers []dns.MX) []dns.MX {
	limit := -1
	for _, mx := range exchangers {
		if canonical(mx.Host) == t.hostname {
			limit = int(mx.Preference)
			break // they are sorted
		}
	}
	if limit < 0 {
		return exchangers
	}
	for i, mx := range exchangers {
		if int(mx.Preference) >= limit {
			return exchangers[:i]
		}
	}
	return exchangers
}

// before is beforeUs by address: an MX may name us as it likes.
func (t *Table) before(hosts []Host) (others []Host, loop string) {
	_, loop = t.notOurs(hosts)
	if loop == "" {
		return hosts, ""
	}
	for i, h := range hosts {
		if _, ours := t.own(netip.AddrPortFrom(h.Addr, h.Port)); ours {
			first := slices.IndexFunc(hosts[:i+1], func(x Host) bool { return x.Group == h.Group })
			return hosts[:first], loop
		}
	}
	return hosts, loop
}

func byPreference(exchangers []dns.MX, port uint16) [][]endpoint {
	var groups [][]endpoint
	for i, mx := range exchangers {
		if i == 0 || mx.Preference != exchangers[i-1].Preference {
			groups = append(groups, nil)
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], endpoint{name: canonical(mx.Host), port: port})
	}
	return groups
}
