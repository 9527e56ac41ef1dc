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
	exchangers, _, err := t.resolver.LookupMX(ctx, domain)
	implicit := errors.Is(err, dns.ErrNoData)
	switch {
	case err == nil:
	case implicit:
		exchangers = []dns.MX{{Host: canonical(domain)}}
	case errors.Is(err, dns.ErrNullMX):
		// RFC 7505, section 4.
		return failed(r.Name, 556, "5.1.10", "domain "+domain+" takes no mail (null MX)")
	case errors.Is(err, dns.ErrNotFound):
		return failed(r.Name, 550, "5.1.2", "domain "+domain+" does not exist")
	default:
		return deferred(r.Name, "4.4.3", "the name servers do not answer for the MX of "+domain)
	}
	exchangers = t.beforeUs(exchangers)
	if len(exchangers) == 0 {
		return failed(r.Name, 554, "5.4.6", "the MX of "+domain+" points back to this relay, which has no other route for it")
	}
	groups := byPreference(exchangers, r.Port)
	target := r.target(siteKey(&r.Router, groups))
	hosts, err := t.resolve(ctx, groups)
	hosts, loop := t.before(hosts)
	switch {
	case len(hosts) > 0:
		target.Hosts = hosts
		return Decision{Kind: Deliver, Router: r.Name, Target: target}
	case errors.Is(err, dns.ErrTemporary):
		return deferred(r.Name, "4.4.3", "the name servers do not answer for the mail hosts of "+domain)
	case loop != "":
		return failed(r.Name, 554, "5.4.6", "the MX of "+domain+" points back to this relay ("+loop+"), which has no other route for it")
	case implicit:
		return failed(r.Name, 550, "5.1.2", "domain "+domain+" has neither MX nor address")
	}
	return failed(r.Name, 550, "5.4.4", "the MX hosts of "+domain+" have no address")
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
	target := r.target(siteKey(&r.Router, [][]endpoint{{{addr.String(), r.Port}}}))
	hosts, loop := t.notOurs([]Host{{Name: addr.String(), Addr: addr, Port: r.Port}})
	if loop != "" {
		return failed(r.Name, 554, "5.4.6", "the address literal points back to this relay ("+loop+")")
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
		groups[last] = append(groups[last], endpoint{canonical(mx.Host), port})
	}
	return groups
}
