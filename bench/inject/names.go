package inject

import (
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/miekg/dns"
)

// Names is a resolver for which every domain's mail, and every host, is at one
// address. Its answers may be remembered for a second.
type Names struct {
	host   netip.Addr
	gone   atomic.Bool
	server *dns.Server
	served chan error
}

// ServeNames answers at address, host:port, until Close.
func ServeNames(address string, host netip.Addr) (*Names, error) {
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, fmt.Errorf("open the resolver's port: %w", err)
	}
	n := &Names{host: host, served: make(chan error, 1)}
	n.server = &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(n.answer)}
	started := make(chan struct{})
	n.server.NotifyStartedFunc = func() { close(started) }
	go func() { n.served <- n.server.ActivateAndServe() }()
	<-started
	return n, nil
}

// Lose has it answer nothing, as a resolver that is out of reach; Find ends
// that.
func (n *Names) Lose() { n.gone.Store(true) }

// Find ends a Lose.
func (n *Names) Find() { n.gone.Store(false) }

// Close ends it.
func (n *Names) Close() error {
	err := n.server.Shutdown()
	<-n.served
	return err
}

func (n *Names) answer(w dns.ResponseWriter, q *dns.Msg) {
	if n.gone.Load() || len(q.Question) != 1 {
		return
	}
	m := new(dns.Msg).SetReply(q)
	name := q.Question[0].Name
	h := dns.RR_Header{Name: name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 1}
	switch h.Rrtype {
	case dns.TypeMX:
		m.Answer = append(m.Answer, &dns.MX{Hdr: h, Preference: 10, Mx: "mx." + name})
	case dns.TypeA:
		m.Answer = append(m.Answer, &dns.A{Hdr: h, A: n.host.AsSlice()})
	}
	_ = w.WriteMsg(m) // who asked asks again
}
