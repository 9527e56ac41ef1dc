// Package recipient tells routers and expressions of a message's recipients.
package recipient

import (
	"net/netip"

	"quorumta/delivery/route"
	"quorumta/internal/policy"
	"quorumta/queue/state"
)

// Request asks for a recipient's route. fields is what Header gives.
func Request(m *state.Message, n uint32, fields func() (map[string]string, error)) route.Request {
	r := &m.Recipients[n]
	q := route.Request{Facts: Facts(m, n), Hosts: m.Hosts, Item: r.Item}
	q.Facts.Header = fields
	for _, a := range m.Ancestors(n) {
		ancestor := route.Ancestor{Address: m.Recipients[a].Address}
		if e := m.Recipients[a].Expansion; e != nil {
			ancestor.Router = e.Router
		}
		q.Ancestors = append(q.Ancestors, ancestor)
	}
	return q
}

// Facts is a recipient as the routers' conditions see it.
func Facts(m *state.Message, n uint32) *policy.Facts {
	a := &m.Accepted
	ip, err := netip.ParseAddr(a.Client.IP)
	if err != nil {
		ip = netip.Addr{} // our own reports have no client
	}
	return &policy.Facts{
		ClientIP:   ip,
		ClientName: a.Client.Name,
		Helo:       a.Client.Helo,
		Login:      a.Client.Login,
		TLS:        a.Client.TLS != "",
		Listener:   a.Client.Listener,
		Sender:     a.Envelope.From,
		Rcpt:       m.Recipients[n].Address,
		Data:       m.Handling(n).Data,
		Size:       a.Size,
		Recipients: len(a.Envelope.Recipients),
		Report:     a.Cause != "",
	}
}
