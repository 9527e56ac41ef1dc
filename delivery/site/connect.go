package site

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"

	"go.opentelemetry.io/otel/attribute"

	"quorumta/delivery/route"
	"quorumta/delivery/transport"
	"quorumta/internal/mail"
	"quorumta/internal/tlspolicy"
	"quorumta/queue/event"
)

// mostHosts is how many addresses one call of Connect tries (RFC 5321,
// section 5.1, asks for two at least).
const mostHosts = 8

// call is one Connect: where it goes, and how.
type call struct {
	*Site
	target route.Target
	policy *tlspolicy.Policy
	how    Transport
	// secret is what the transport wants of TLS; each session has its own copy.
	secret *tls.Config
}

// Connect opens a session with the first host that takes one: groups in order,
// hosts of a group in random order, those that failed of late only when there
// is no other. It does not call Refused: the caller does, with the failure.
// Policy is what the mail at hand demands of a connection; nil: the target's.
func (s *Site) Connect(ctx context.Context, policy *tlspolicy.Policy) (transport.Conn, *Failure) {
	s.mu.Lock()
	c := call{Site: s, target: s.target, policy: policy}
	s.mu.Unlock()
	if policy == nil {
		c.policy = policyOf(c.target)
	}
	var ok bool
	if c.how, ok = s.set.transport(c.target); !ok {
		return nil, ourFailure("transport " + c.target.Transport + " is not in the configuration any more")
	}
	if c.how.Local != nil {
		return s.openLocal(ctx, c.target.Transport, c.how.Local)
	}
	var err error
	if c.secret, err = c.tlsConfig(); err != nil {
		return nil, ourFailure(err.Error())
	}
	hosts := c.candidates(c.target.Hosts)
	if len(hosts) == 0 {
		return nil, ourFailure("no host has an address that transport " + c.target.Transport + " may reach from here")
	}
	return c.try(ctx, hosts)
}

// try goes from host to host.
func (c *call) try(ctx context.Context, hosts []route.Host) (transport.Conn, *Failure) {
	last := &Failure{Kind: event.ErrorConnect, Reply: mail.Reply{Enhanced: "4.4.1", Text: "no host to connect to"}}
	final := len(hosts) == len(c.target.Hosts)
	for tries := 0; len(hosts) > 0 && tries < mostHosts && ctx.Err() == nil; tries++ {
		same := c.together(hosts)
		rule, refusal := c.policy.Host(ctx, hosts[0].Name, hosts[0].Port)
		if refusal != nil {
			last = refused(hosts[0], refusal)
			final = final && last.Final
			hosts = hosts[same:]
			continue
		}
		nc, i, err := c.race(ctx, hosts[:same])
		if err != nil {
			last, final = connectFailure(hosts[0], err), false
			for _, h := range hosts[:same] {
				c.set.health.failed(c.at(h))
			}
			hosts = hosts[same:]
			continue
		}
		conn, failure := c.session(ctx, rule, hosts[i], nc)
		if failure == nil {
			c.set.health.worked(c.at(hosts[i]))
			c.connected()
			return conn, nil
		}
		if !failure.Demand {
			c.set.health.failed(c.at(hosts[i]))
		}
		last = failure
		final = final && last.Final
		hosts = slices.Delete(hosts, i, i+1)
	}
	if last.Final && !(final && len(hosts) == 0 && ctx.Err() == nil) {
		// It is said for good only when every host has been asked.
		last.Final = false
		last.Reply.Enhanced = "4" + strings.TrimPrefix(last.Reply.Enhanced, "5")
	}
	return nil, last
}

// candidates orders the hosts for one attempt.
func (c *call) candidates(hosts []route.Host) []route.Host {
	order := map[string]int{}
	for _, h := range hosts {
		if _, ok := order[h.Name]; !ok {
			order[h.Name] = rand.Int()
		}
	}
	way := c.target.Way
	all := slices.DeleteFunc(slices.Clone(hosts), func(h route.Host) bool { return !way.Reaches(h.Addr) })
	slices.SortStableFunc(all, func(a, b route.Host) int {
		return cmp.Or(a.Group-b.Group, cmp.Compare(order[a.Name], order[b.Name]), way.Before(a.Addr, b.Addr))
	})
	alive := slices.DeleteFunc(slices.Clone(all), func(h route.Host) bool { return c.set.health.dead(c.at(h)) })
	if len(alive) == 0 {
		return all
	}
	return alive
}

// together counts the leading entries that are tried at nearly the same time:
// addresses of one host, of both families unless one is preferred.
func (c *call) together(hosts []route.Host) int {
	n := 1
	for n < len(hosts) && hosts[n].Name == hosts[0].Name && hosts[n].Port == hosts[0].Port && hosts[n].Group == hosts[0].Group &&
		c.target.Way.Before(hosts[n].Addr, hosts[0].Addr) == 0 {
		n++
	}
	return n
}

// SessionFailure says in terms of sites what ended a session of an open
// connection.
func SessionFailure(peer transport.Peer, err error) Failure {
	return *sessionFailure(peer.Host, peer.IP, err)
}

// sessionFailure sorts the end of a session into the kinds of errors.
func sessionFailure(host, ip string, err error) *Failure {
	f := &Failure{Kind: event.ErrorLost, Host: host, IP: ip}
	f.Reply = mail.Reply{Enhanced: "4.4.2", Text: err.Error()}
	var e *transport.Error
	if !errors.As(err, &e) {
		return f
	}
	switch {
	case e.Phase == 0:
		f.Kind = event.ErrorConnect
		f.Reply.Enhanced = "4.4.1"
	case e.Phase == transport.PhaseAuth:
		f.Kind = event.ErrorAuth
		f.Reply.Enhanced = "4.7.0"
	case errors.Is(e.Err, transport.ErrNoTLS):
		f.Kind = event.ErrorTLSRequired
		f.Reply.Enhanced = "4.7.5"
	case e.Phase == transport.PhaseTLS:
		f.Kind = event.ErrorTLS
		f.Reply.Enhanced = "4.7.5"
	case e.Timeout():
		f.Kind = event.ErrorTimeout
	case e.Phase <= transport.PhaseHello && !e.Lost():
		f.Kind = event.ErrorGreeting
	}
	if e.Reply.Code != 0 {
		f.Reply = e.Reply
	}
	return f
}

// ourFailure is what keeps us from connecting to anybody.
func ourFailure(text string) *Failure {
	return &Failure{Kind: event.ErrorRouting, Reply: mail.Reply{Enhanced: "4.3.5", Text: text}}
}

func connectFailure(h route.Host, err error) *Failure {
	kind := event.ErrorConnect
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		kind = event.ErrorRefused
	case errors.Is(err, errTimedOut):
		kind = event.ErrorConnectTimeout
	}
	return &Failure{
		Kind:  kind,
		Host:  h.Name,
		IP:    h.Addr.String(),
		Reply: mail.Reply{Enhanced: "4.4.1", Text: err.Error()},
	}
}

// hostAttribute names a host in a span.
func hostAttribute(h route.Host) attribute.KeyValue {
	return attribute.String("server.address", h.Name)
}
