package route

import (
	"context"
	"strings"
)

// parseFallback reads a router's fallback hosts, each a group of its own.
func parseFallback(r *Router) ([][]endpoint, error) {
	var groups [][]endpoint
	for _, host := range r.Find.Fallback {
		group, err := parseGroup([]string{host}, r.Port)
		if err != nil {
			return nil, err
		}
		groups = append(groups, group)
	}
	return groups, nil
}

// orElse has the mail go to the router's fallback hosts where none of those can
// be reached that it was routed to (Exim's fallback_hosts). They are the site's
// last groups: the address of one that name servers do not tell is left out.
func (t *Table) orElse(ctx context.Context, r *router, d Decision) Decision {
	if d.Kind != Deliver || len(r.fallback) == 0 {
		return d
	}
	groups, secure, _ := t.exchangers(ctx, r.fallback)
	d.Target.Demand.Secure = d.Target.Demand.Secure && secure
	more, _ := t.resolve(ctx, groups)
	more, _ = r.Find.usable(more)
	more, _ = t.notOurs(more)
	last := d.Target.Hosts[len(d.Target.Hosts)-1].Group
	hosts := append([]Host(nil), d.Target.Hosts...)
	for _, h := range more {
		h.Group += last + 1
		hosts = append(hosts, h)
	}
	d.Target.Hosts = hosts
	d.Target.Key += " or " + strings.Join(r.Find.Fallback, ",")
	return d
}
