package main

import (
	"slices"
	"strings"

	"quorumta/delivery/order"
	"quorumta/internal/admin"
	"quorumta/internal/admin/api"
)

// offerSites lets the admin API answer about sites.
func (n *node) offerSites() {
	n.admin.OfferSites(admin.Sites{
		Key: func(subject, name string) (string, bool) {
			key := order.Key(order.Subject(subject), name)
			_, _, ok := order.Parse(key)
			return key, ok
		},
		Parse: func(key string) (string, string, bool) {
			subject, name, ok := order.Parse(key)
			return string(subject), name, ok
		},
		Orders: order.Suspensions, Lessons: order.Lessons,
		All: n.sites,
	})
}

// sites are this node's, as the API has them.
func (n *node) sites() []api.Site {
	list := []api.Site{}
	all, waiting, clerk := n.delivery.Sites()
	for _, one := range all {
		s := one.Status()
		x := api.Site{
			Key: s.Key, Hosts: s.Hosts, Connections: s.Connections, Limit: s.Limit, Waiting: waiting[s.Key],
			Rules: s.Rules, Ordered: clerk.Waits(one),
		}
		if s.Shared {
			x.Share = &s.Share
		}
		if !s.Suspended.IsZero() {
			x.Suspended, x.Why = &api.Time{Time: s.Suspended}, s.Why.Host+": "+s.Why.Reply.String()
		}
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b api.Site) int { return strings.Compare(a.Key, b.Key) })
	return list
}
