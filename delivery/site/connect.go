package site

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"quorumta/delivery/route"
	"quorumta/delivery/smtpc"
	"quorumta/delivery/transport"
	"quorumta/internal/mail"
	"quorumta/queue/event"
)

// mostHosts is how many addresses one call of Connect tries (RFC 5321,
// section 5.1, asks for two at least).
const mostHosts = 8

// smtps is the port where TLS starts with the first byte (RFC 8314).
const smtps = 465

// session is an open session with a host of a site; it implements
// transport.Conn.
type session struct {
	*smtpc.Conn
	peer transport.Peer
	site *Site
}

// Peer implements transport.Conn.
func (c *session) Peer() transport.Peer { return c.peer }

// Leave implements transport.Conn: it ends with QUIT.
func (c *session) Leave(ctx context.Context) {
	c.Quit(ctx)
	c.site.left()
}

// Connect opens a session with the first host that takes one: groups in order,
// hosts of a group in random order, those that failed of late only when there
// is no other. It does not call Refused: the caller does, with the failure.
func (s *Site) Connect(ctx context.Context) (transport.Conn, *Failure) {
	s.mu.Lock()
	t := s.target
	s.mu.Unlock()
	how, ok := s.set.transport(t)
	if !ok {
		text := "transport " + t.Transport + " is not in the configuration any more"
		return nil, &Failure{Kind: event.ErrorRouting, Reply: mail.Reply{Enhanced: "4.3.5", Text: text}}
	}
	if how.Local != nil {
		return s.openLocal(ctx, t.Transport, how.Local)
	}
	var last *Failure
	hosts := s.candidates(t.Hosts)
	for tries := 0; len(hosts) > 0 && tries < mostHosts && ctx.Err() == nil; tries++ {
		same := sameHost(hosts)
		nc, i, err := s.race(ctx, hosts[:same])
		if err != nil {
			last = connectFailure(hosts[0], err)
			for _, h := range hosts[:same] {
				s.set.health.failed(h)
			}
			hosts = hosts[same:]
			continue
		}
		conn, failure := s.session(ctx, how, t.TLS, hosts[i], nc)
		if failure == nil {
			s.set.health.worked(hosts[i])
			s.connected()
			return conn, nil
		}
		s.set.health.failed(hosts[i])
		last = failure
		hosts = slices.Delete(hosts, i, i+1)
	}
	if last == nil {
		last = &Failure{Kind: event.ErrorConnect, Reply: mail.Reply{Enhanced: "4.4.1", Text: "no host to connect to"}}
	}
	return nil, last
}

// candidates orders the hosts for one attempt.
func (s *Site) candidates(hosts []route.Host) []route.Host {
	order := map[string]int{}
	for _, h := range hosts {
		if _, ok := order[h.Name]; !ok {
			order[h.Name] = rand.Int()
		}
	}
	all := slices.Clone(hosts)
	slices.SortStableFunc(all, func(a, b route.Host) int {
		if a.Group != b.Group {
			return a.Group - b.Group
		}
		return cmp.Compare(order[a.Name], order[b.Name])
	})
	alive := slices.DeleteFunc(slices.Clone(all), s.set.health.dead)
	if len(alive) == 0 {
		return all
	}
	return alive
}

// sameHost counts the leading entries that are addresses of one host.
func sameHost(hosts []route.Host) int {
	n := 1
	for n < len(hosts) && hosts[n].Name == hosts[0].Name && hosts[n].Port == hosts[0].Port && hosts[n].Group == hosts[0].Group {
		n++
	}
	return n
}

// session makes a session of a connection. Where TLS is only tried and fails, it
// connects again and goes on in the clear.
func (s *Site) session(ctx context.Context, how Transport, mode route.TLSMode, h route.Host, nc net.Conn) (*session, *Failure) {
	conn, failure := s.greet(ctx, how, mode, h, nc)
	if failure == nil || failure.Kind != event.ErrorTLS || mode != route.TLSTry || h.Port == smtps || ctx.Err() != nil {
		return conn, failure
	}
	s.set.health.badTLS(h)
	nc, err := s.dial(ctx, h)
	if err != nil {
		return nil, connectFailure(h, err)
	}
	return s.greet(ctx, how, route.TLSOff, h, nc)
}

// greet opens the session and makes it as secret as the mode wants.
func (s *Site) greet(ctx context.Context, how Transport, mode route.TLSMode, h route.Host, nc net.Conn) (*session, *Failure) {
	wanted := mode != route.TLSOff
	if wanted && h.Port == smtps {
		tc, err := s.handshake(ctx, mode, h, nc)
		if err != nil {
			_ = nc.Close()
			return nil, sessionFailure(h.Name, h.Addr.String(), &transport.Error{Phase: transport.PhaseTLS, Err: err})
		}
		nc = tc
	}
	c, err := smtpc.Greet(ctx, nc, how.SMTP)
	if err != nil {
		return nil, sessionFailure(h.Name, h.Addr.String(), err)
	}
	if mode == route.TLSTry && (!c.Extensions().StartTLS || s.set.health.clear(h)) {
		wanted = false
	}
	if wanted && c.TLS() == nil {
		ctx, span := s.set.o.Tracer.Start(ctx, "tls")
		err := c.StartTLS(ctx, s.config(mode, h))
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
		if err != nil {
			return nil, sessionFailure(h.Name, h.Addr.String(), err)
		}
	}
	offers := c.Extensions()
	return &session{Conn: c, site: s, peer: transport.Peer{
		Host: h.Name, IP: h.Addr.String(), TLS: secrecy(c.TLS(), mode),
		RelaysDSN: offers.DSN, Recipients: offers.Recipients,
	}}, nil
}

func (s *Site) handshake(ctx context.Context, mode route.TLSMode, h route.Host, nc net.Conn) (net.Conn, error) {
	ctx, span := s.set.o.Tracer.Start(ctx, "tls")
	defer span.End()
	limit := s.set.o.SMTP.Timeouts.TLS
	if limit == 0 {
		limit = time.Minute
	}
	tc, err := smtpc.Handshake(ctx, nc, s.config(mode, h), limit)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		return nil, err
	}
	return tc, nil
}

// config is what the mode wants of the peer. Without verification TLS still
// keeps out those who only listen (RFC 7435).
func (s *Site) config(mode route.TLSMode, h route.Host) *tls.Config {
	cfg := &tls.Config{}
	if s.set.o.TLS != nil {
		cfg = s.set.o.TLS.Clone()
	}
	cfg.ServerName = h.Name
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	cfg.InsecureSkipVerify = mode != route.TLSVerify
	return cfg
}

func secrecy(state *tls.ConnectionState, mode route.TLSMode) string {
	if state == nil {
		return ""
	}
	verified := "unverified"
	if mode == route.TLSVerify {
		verified = "verified"
	}
	return tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite) + " " + verified
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

func connectFailure(h route.Host, err error) *Failure {
	return &Failure{
		Kind:  event.ErrorConnect,
		Host:  h.Name,
		IP:    h.Addr.String(),
		Reply: mail.Reply{Enhanced: "4.4.1", Text: err.Error()},
	}
}

// hostAttribute names a host in a span.
func hostAttribute(h route.Host) attribute.KeyValue {
	return attribute.String("server.address", h.Name)
}
