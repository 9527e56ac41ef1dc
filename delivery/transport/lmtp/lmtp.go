// Package lmtp delivers to a server on this machine by LMTP over a Unix socket
// (RFC 2033), as Dovecot, Cyrus and others offer it. To a server that listens at
// a TCP port go the sites of routers with hosts.
//
// The point of no return is that of SMTP, the final dot. The server has a word
// for each recipient after it; those whose word was not heard are in doubt, the
// others are settled.
package lmtp

import (
	"context"
	"net"
	"time"

	"quorumta/delivery/smtpc"
	"quorumta/delivery/transport"
)

// Options say where the server is. All are needed but where it is said.
type Options struct {
	// Socket is the path of the server's Unix socket.
	Socket string
	// SMTP is how sessions speak; LMTP is set anyway.
	SMTP smtpc.Options
	// ConnectTimeout is how long connecting may take; 0: 30 s.
	ConnectTimeout time.Duration
}

// Server is an LMTP server at a Unix socket; it implements transport.Opener.
type Server struct{ o Options }

// New makes a Server; it does not connect yet.
func New(o Options) *Server {
	o.SMTP.LMTP = true
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 30 * time.Second
	}
	return &Server{o}
}

// conn is a session with the server.
type conn struct {
	*smtpc.Conn
	peer transport.Peer
}

// Open implements transport.Opener: it connects and greets.
func (s *Server) Open(ctx context.Context) (transport.Conn, error) {
	d := net.Dialer{Timeout: s.o.ConnectTimeout}
	nc, err := d.DialContext(ctx, "unix", s.o.Socket)
	if err != nil {
		return nil, &transport.Error{Err: err, Ours: ctx.Err() != nil}
	}
	c, err := smtpc.Greet(ctx, nc, s.o.SMTP)
	if err != nil {
		return nil, err
	}
	offers := c.Extensions()
	return &conn{c, transport.Peer{Host: s.o.Socket, Delivers: true, RelaysDSN: offers.DSN, Recipients: offers.Recipients}}, nil
}

// Peer implements transport.Conn.
func (c *conn) Peer() transport.Peer { return c.peer }

// Leave implements transport.Conn.
func (c *conn) Leave(ctx context.Context) { c.Quit(ctx) }
