package site

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"strconv"

	"quorumta/delivery/route"
	"quorumta/delivery/smtpc"
	"quorumta/delivery/transport"
	"quorumta/internal/mail"
	"quorumta/internal/tlspolicy"
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
func (c *call) session(ctx context.Context, rule *tlspolicy.Rule, h route.Host, nc net.Conn) (*session, *Failure) {
	t := talk{call: c, rule: rule, host: h}
	conn, failure := t.greet(ctx, nc)
	if failure == nil || failure.Kind != event.ErrorTLS || rule.Needed() || !rule.Wanted() || h.Port == smtps || ctx.Err() != nil {
		return conn, failure
	}
	c.set.health.badTLS(c.at(h))
	nc, err := c.dial(ctx, h)
	if err != nil {
		return nil, connectFailure(h, err)
	}
	t.clear = true
	return t.greet(ctx, nc)
}

// talk is the beginning of a session with one host.
type talk struct {
	*call
	rule *tlspolicy.Rule
	host route.Host
	// ends are the addresses of the connection.
	ends tlspolicy.Ends
	// clear: TLS has failed, and is done without.
	clear bool
}

// greet opens the session, makes it as secret as the rule wants, and logs in.
// Nothing of a message is said before that.
func (t *talk) greet(ctx context.Context, nc net.Conn) (*session, *Failure) {
	t.ends = tlspolicy.Ends{Here: address(nc.LocalAddr()), There: t.host.Addr.String()}
	if t.wanted() && t.host.Port == smtps {
		tc, err := t.handshake(ctx, nc)
		if err != nil {
			_ = nc.Close()
			t.count(ctx, nil, err)
			return nil, t.failure(&transport.Error{Phase: transport.PhaseTLS, Err: err})
		}
		nc = tc
	}
	o, way := t.how.SMTP, t.target.Way
	if way != nil {
		o.Hostname = cmp.Or(way.Name, o.Hostname)
	}
	conn, err := smtpc.Greet(ctx, nc, o)
	if err == nil {
		err = t.startTLS(ctx, conn)
	}
	if err != nil {
		return nil, t.failure(err)
	}
	if lack := t.rule.Lacks(conn.Extensions().RequireTLS && conn.TLS() != nil); lack != nil {
		conn.Quit(ctx)
		return nil, refused(t.host, lack)
	}
	if way != nil && way.Login != nil {
		if failure := t.login(ctx, conn); failure != nil {
			return nil, failure
		}
	}
	return &session{Conn: conn, site: t.Site, peer: t.peer(conn)}, nil
}

// peer says what the session is good for.
func (t *talk) peer(conn *smtpc.Conn) transport.Peer {
	offers := conn.Extensions()
	p := transport.Peer{
		Host: t.host.Name, IP: t.host.Addr.String(), TLS: secrecy(conn.TLS(), t.rule),
		Delivers: t.how.SMTP.LMTP, RelaysDSN: offers.DSN, Recipients: offers.Recipients, SevenBit: !offers.EightBit,
	}
	if way := t.target.Way; way != nil {
		p.Messages = way.Limits.Messages
		if way.Limits.Recipients > 0 && (p.Recipients == 0 || way.Limits.Recipients < p.Recipients) {
			p.Recipients = way.Limits.Recipients
		}
	}
	return p
}

// login logs in. That it does not work says nothing of a message: the site
// waits, and who looks after it is told why.
func (t *talk) login(ctx context.Context, conn *smtpc.Conn) *Failure {
	l, h := t.target.Way.Login, t.host
	err := l.May(conn.TLS() != nil, conn.TLS() != nil && t.rule.Authentic())
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
