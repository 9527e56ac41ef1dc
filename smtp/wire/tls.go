package wire

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// startTLS answers STARTTLS (RFC 3207). The state is as after the greeting
// then: what was said in the clear is forgotten.
func (c *Conn) startTLS(cmd command) {
	switch {
	case !c.plain(cmd):
		return
	case c.tls != nil:
		c.give(503, 5, 5, 1, "TLS is on already")
		return
	case c.o.TLS == nil:
		c.give(502, 5, 5, 1, "TLS is not offered")
		return
	case len(c.in.buffered()) > 0:
		// What was sent in the clear must not count as said under TLS.
		c.give(521, 5, 5, 1, "Nothing may follow STARTTLS before TLS is on; closing")
		return
	}
	c.reset()
	c.logout()
	c.hello = hello{}
	c.give(220, 2, 0, 0, "Ready to start TLS")
	if c.out.flush() != nil {
		c.closing = true
		return
	}
	conn := tls.Server(c.conn, c.o.TLS)
	c.conn, c.out.conn, c.in.src, c.in.raw = conn, conn, conn, nil
	c.gate.set(true, conn)
	if !c.handshake(conn) {
		c.closing = true
		c.out.err = errNoTLS
	}
}

// handshake reports whether TLS is on.
func (c *Conn) handshake(conn *tls.Conn) bool {
	ctx, cancel := context.WithTimeout(c.ctx, handshakeTime)
	defer cancel()
	_ = conn.SetDeadline(time.Now().Add(handshakeTime))
	if err := conn.HandshakeContext(ctx); err != nil {
		c.o.log().Info("tls handshake failed", "client", conn.RemoteAddr().String(), "error", err)
		return false
	}
	_ = conn.SetDeadline(time.Time{})
	state := conn.ConnectionState()
	c.tls = &state
	return true
}

// Refuse tells a client that is not to be served why, by 421 with the enhanced
// code, and closes. It takes patience at most, which a *tls.Conn needs for its
// handshake; in the clear a few octets fit into the socket's buffer.
func Refuse(conn net.Conn, code gosmtp.EnhancedCode, text string, patience time.Duration) {
	w := replies{}
	w.add(421, code, text)
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = conn.Write(w.buf)
	_ = conn.Close()
}
