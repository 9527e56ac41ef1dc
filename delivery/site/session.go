package site

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/codes"

	"quorumta/delivery/route"
	"quorumta/delivery/smtpc"
	"quorumta/delivery/transport"
	"quorumta/internal/mail"
	"quorumta/queue/event"
)

// smtps is the port where TLS starts with the first byte (RFC 8314).
const smtps = 465

// session is an open session with a host of a site; it implements
// transport.Conn.
type session struct {
	*smtpc.Conn
	peer transport.Peer
	site *Site
	// messages and domains count what the server's LIMITS bound in a session
	// (RFC 9422, section 4).
	messages int
	domains  map[string]bool
}

// Send implements transport.Conn. Recipients in more domains than the session
// may name are told, in our own words, to come again.
func (c *session) Send(ctx context.Context, m *transport.Message) (transport.Result, error) {
	c.messages++
	most := c.Extensions().Domains
	if most == 0 {
		return c.Conn.Send(ctx, m)
	}
	now := *m
	now.Recipients = nil
	var sent []int
	for i, r := range m.Recipients {
		if d := r.Address.Domain; c.domains[d] || len(c.domains) < most {
			if c.domains == nil {
				c.domains = map[string]bool{}
			}
			c.domains[d] = true
			now.Recipients = append(now.Recipients, r)
			sent = append(sent, i)
		}
	}
	res, err := c.Conn.Send(ctx, &now)
	rcpts := make([]mail.Reply, len(m.Recipients))
	for i := range rcpts {
		rcpts[i] = mail.Reply{Code: 452, Enhanced: "4.5.3", Text: "the server takes fewer domains in a session"}
	}
	for i, n := range sent {
		rcpts[n] = res.Rcpts[i]
	}
	res.Rcpts = rcpts
	return res, err
}

// Closed implements transport.Conn: a session that has used up what its server
// allows carries nothing more.
func (c *session) Closed() bool {
	offers := c.Extensions()
	return c.Conn.Closed() || offers.Messages > 0 && c.messages >= offers.Messages ||
		offers.Domains > 0 && len(c.domains) >= offers.Domains
}

// Peer implements transport.Conn.
func (c *session) Peer() transport.Peer { return c.peer }

// Leave implements transport.Conn: it ends with QUIT.
func (c *session) Leave(ctx context.Context) {
	c.Quit(ctx)
	c.site.left()
}

// session makes a session of a connection. Where TLS is only tried and fails, it
// connects again and goes on in the clear.
func (c *call) session(ctx context.Context, h route.Host, nc net.Conn) (*session, *Failure) {
	mode := c.target.TLS
	conn, failure := c.greet(ctx, mode, h, nc)
	if failure == nil || failure.Kind != event.ErrorTLS || mode != route.TLSTry || h.Port == smtps || ctx.Err() != nil {
		return conn, failure
	}
	c.set.health.badTLS(c.at(h))
	nc, err := c.dial(ctx, h)
	if err != nil {
		return nil, connectFailure(h, err)
	}
	return c.greet(ctx, route.TLSOff, h, nc)
}

// greet opens the session, makes it as secret as the mode wants, and logs in.
func (c *call) greet(ctx context.Context, mode route.TLSMode, h route.Host, nc net.Conn) (*session, *Failure) {
	if mode != route.TLSOff && h.Port == smtps {
		tc, err := c.handshake(ctx, mode, h, nc)
		if err != nil {
			_ = nc.Close()
			return nil, sessionFailure(h.Name, h.Addr.String(), &transport.Error{Phase: transport.PhaseTLS, Err: err})
		}
		nc = tc
	}
	o, way := c.how.SMTP, c.target.Way
	if way != nil {
		o.Hostname = cmp.Or(way.Name, o.Hostname)
	}
	conn, err := smtpc.Greet(ctx, nc, o)
	if err == nil {
		err = c.startTLS(ctx, mode, h, conn)
	}
	if err != nil {
		return nil, sessionFailure(h.Name, h.Addr.String(), err)
	}
	if way != nil && way.Login != nil {
		if failure := c.login(ctx, mode, h, conn); failure != nil {
			return nil, failure
		}
	}
	return &session{Conn: conn, site: c.Site, peer: c.peer(mode, h, conn)}, nil
}

// peer says what the session is good for.
func (c *call) peer(mode route.TLSMode, h route.Host, conn *smtpc.Conn) transport.Peer {
	offers := conn.Extensions()
	p := transport.Peer{
		Host: h.Name, IP: h.Addr.String(), TLS: secrecy(conn.TLS(), mode),
		Delivers: c.how.SMTP.LMTP, RelaysDSN: offers.DSN, Recipients: offers.Recipients, SevenBit: !offers.EightBit,
	}
	if way := c.target.Way; way != nil {
		p.Messages = way.Limits.Messages
		if way.Limits.Recipients > 0 && (p.Recipients == 0 || way.Limits.Recipients < p.Recipients) {
			p.Recipients = way.Limits.Recipients
		}
	}
	return p
}

// startTLS makes a session secret where the mode wants it and it is not yet.
func (c *call) startTLS(ctx context.Context, mode route.TLSMode, h route.Host, conn *smtpc.Conn) error {
	switch {
	case mode == route.TLSOff || conn.TLS() != nil:
		return nil
	case mode == route.TLSTry && (!conn.Extensions().StartTLS || c.set.health.clear(c.at(h))):
		return nil
	}
	ctx, span := c.set.o.Tracer.Start(ctx, "tls")
	defer span.End()
	err := conn.StartTLS(ctx, c.config(mode, h))
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	return err
}

// login logs in. That it does not work says nothing of a message: the site
// waits, and who looks after it is told why.
func (c *call) login(ctx context.Context, mode route.TLSMode, h route.Host, conn *smtpc.Conn) *Failure {
	l := c.target.Way.Login
	err := l.May(conn.TLS() != nil, mode == route.TLSVerify)
	if err == nil {
		who, unreadable := l.Credentials()
		if unreadable == nil {
			err := conn.Auth(ctx, who, net.JoinHostPort(h.Name, strconv.Itoa(int(h.Port))))
			if err == nil {
				return nil
			}
			f := sessionFailure(h.Name, h.Addr.String(), err)
			f.Reply.Text = "login as " + l.User + ": " + f.Reply.Text
			return f
		}
		err = unreadable
	}
	conn.Quit(ctx)
	return &Failure{
		Kind: event.ErrorAuth, Host: h.Name, IP: h.Addr.String(),
		Reply: mail.Reply{Enhanced: "4.7.0", Text: "login as " + l.User + ": " + err.Error()},
	}
}

func (c *call) handshake(ctx context.Context, mode route.TLSMode, h route.Host, nc net.Conn) (net.Conn, error) {
	ctx, span := c.set.o.Tracer.Start(ctx, "tls")
	defer span.End()
	limit := cmp.Or(c.how.SMTP.Timeouts.TLS, time.Minute)
	tc, err := smtpc.Handshake(ctx, nc, c.config(mode, h), limit)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		return nil, err
	}
	return tc, nil
}

// tlsConfig is what the transport wants of TLS, whoever the host is.
func (c *call) tlsConfig() (*tls.Config, error) {
	cfg := &tls.Config{}
	if c.set.o.TLS != nil {
		cfg = c.set.o.TLS.Clone()
	}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	if way := c.target.Way; way != nil {
		if err := way.TLS.Apply(cfg); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

// config is what the mode wants of the peer. Without verification TLS still
// keeps out those who only listen (RFC 7435).
func (c *call) config(mode route.TLSMode, h route.Host) *tls.Config {
	cfg := c.secret.Clone()
	cfg.ServerName = h.Name
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
