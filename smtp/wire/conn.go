package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"quorumta/smtp/wire/parameter"
)

var (
	errDraining = errors.New("the server is draining")
	errSlow     = errors.New("the client is too slow")
	errUnread   = errors.New("the session took content that it did not read")
	errNoTLS    = errors.New("the TLS handshake failed")
)

// Conn is one connection. Its methods for sessions may be called from the
// connection's goroutine alone, Drain from any.
type Conn struct {
	o    *Options
	ctx  context.Context
	conn net.Conn
	in   reader
	out  replies

	session  gosmtp.Session // nil before EHLO
	hello    hello
	tls      *tls.ConnectionState // nil in the clear
	tx       transaction
	pending  *command // read within BDAT and not yet answered
	errors   int      // 5yz replies since the last accepted message
	closing  bool
	answered string // the verb that replies are counted under
	wait     wait
	gate     gate
}

// hello is how the client introduced itself.
type hello struct {
	name     string
	extended bool // by EHLO
}

// transaction is what the wire must know of the mail transaction.
type transaction struct {
	open       bool             // MAIL was accepted
	utf8       bool             // MAIL had SMTPUTF8
	recipients int              // accepted
	wishes     parameter.Wishes // of the newest MAIL
}

// wait is what the connection waits for.
type wait struct {
	content bool
	since   time.Time
	before  int64 // octets read when it began
}

// gate lets Drain end a connection that waits between transactions.
type gate struct {
	mu       sync.Mutex
	conn     net.Conn
	between  bool
	draining bool
	ended    bool // nothing is waited for but the client's end
}

// NewConn makes a connection that Serve will speak on. conn is a *tls.Conn for
// implicit TLS, whose handshake Serve does.
func NewConn(ctx context.Context, conn net.Conn, o *Options) *Conn {
	c := &Conn{o: o, ctx: ctx, conn: conn}
	c.in = reader{src: conn, before: c.beforeRead, pools: &o.buffers, room: max(smallBuffer, o.MaxCommand)}
	if tcp, ok := conn.(*net.TCPConn); ok {
		c.in.raw, _ = tcp.SyscallConn() // without it the buffer is kept
	}
	c.out = replies{conn: conn}
	c.gate = gate{conn: conn, between: true}
	return c
}

// Wishes are what MAIL said that is not in MailOptions; they are there from the
// session's Mail on.
func (c *Conn) Wishes() parameter.Wishes { return c.tx.wishes }

// Context ends when the server gives the connection up.
func (c *Conn) Context() context.Context { return c.ctx }

// Helo is the argument of the last EHLO or HELO, and whether it was EHLO.
func (c *Conn) Helo() (name string, extended bool) { return c.hello.name, c.hello.extended }

// TLS is the state of the connection's TLS; nil in the clear.
func (c *Conn) TLS() *tls.ConnectionState { return c.tls }

// Drain has the connection end with 421 4.3.2 as soon as no transaction is
// open on it.
func (c *Conn) Drain() {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.gate.draining = true
	if c.gate.ended {
		return
	}
	until := time.Unix(1, 0)
	if !c.gate.between {
		until = time.Now().Add(min(c.o.Idle, drainingIdle))
	}
	_ = c.gate.conn.SetReadDeadline(until) // for a read that waits already
}

// Serve speaks until the client quits, is given up, or the context ends. It
// closes the connection.
func (c *Conn) Serve() {
	stop := context.AfterFunc(c.ctx, func() { _ = c.conn.Close() })
	defer stop()
	defer func() {
		c.logout()
		c.in.release()
		_ = c.conn.Close()
	}()
	if t, ok := c.conn.(*tls.Conn); ok && !c.handshake(t) {
		return
	}
	c.answered = "CONNECT"
	c.reply(220, gosmtp.NoEnhancedCode, c.o.Hostname+" ESMTP quorumta")
	for !c.closing && c.step() {
	}
	if c.out.flush() == nil && c.closing {
		c.linger()
	}
}

// step answers one command and reports whether the connection goes on.
func (c *Conn) step() (goesOn bool) {
	defer func() {
		if r := recover(); r != nil {
			c.o.log().Error("smtp session panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			c.give(421, 4, 3, 0, "Internal error, closing; try again later")
			goesOn = true
		}
	}()
	cmd, err := c.next()
	if err != nil {
		return c.broken(err)
	}
	c.handle(cmd)
	return true
}

// next reads the next command. Lines that are none are answered here.
func (c *Conn) next() (command, error) {
	if p := c.pending; p != nil {
		c.pending = nil
		c.answered = known(p.verb)
		return *p, nil
	}
	c.waitFor(false)
	c.in.shrink()
	for !c.closing {
		c.answered = "?"
		line, err := c.in.line(c.o.MaxCommand)
		var cmd command
		if err == nil {
			cmd, err = parseCommand(line)
		}
		switch err {
		case nil:
			c.answered = known(cmd.verb)
			return cmd, nil
		case errTooLong:
			c.give(500, 5, 5, 2, fmt.Sprintf("Line too long: at most %d octets", c.o.MaxCommand))
		case errBareLF, errBareCR, errNUL, errControl, errNotUTF8:
			c.give(500, 5, 5, 2, "Syntax error: "+err.Error())
		default:
			return command{}, err
		}
		c.waitFor(false)
	}
	return command{}, io.EOF
}

// broken ends a connection whose input failed: with a last word where the
// client can still hear it. It reports whether the loop goes on, to flush it.
func (c *Conn) broken(err error) bool {
	c.answered = "?"
	var timeout net.Error
	switch {
	case c.closing:
		return false
	case errors.Is(err, errDraining), c.gate.drainingBetween() && errors.Is(err, os.ErrDeadlineExceeded):
		c.give(421, 4, 3, 2, c.o.Hostname+" is shutting down, try another server")
	case errors.Is(err, errEndless):
		c.give(500, 5, 5, 2, "Line too long, closing")
	case errors.Is(err, errSlow):
		c.give(421, 4, 4, 2, "Too slow, closing")
	case errors.As(err, &timeout) && timeout.Timeout():
		c.give(421, 4, 4, 2, "Idle for too long, closing")
	default:
		return false
	}
	c.closing = true
	return true
}

// reply answers the present command.
func (c *Conn) reply(code int, enhanced gosmtp.EnhancedCode, text string) {
	if c.closing {
		return
	}
	c.out.add(code, enhanced, text)
	c.o.observe(c.answered, code)
	if code == 421 || code == 521 {
		c.closing = true
	}
	if code < 500 || c.closing {
		return
	}
	if c.errors++; c.o.MaxErrors > 0 && c.errors >= c.o.MaxErrors {
		c.reply(421, gosmtp.EnhancedCode{4, 7, 0}, "Too many errors, closing")
	}
}

func (c *Conn) give(code, class, subject, detail int, text string) {
	c.reply(code, gosmtp.EnhancedCode{class, subject, detail}, text)
}

// refuse tells an error of a session, which should be an SMTPError.
func (c *Conn) refuse(err error) {
	var e *gosmtp.SMTPError
	if !errors.As(err, &e) {
		c.o.log().Error("smtp session failed", "error", err)
		c.give(451, 4, 3, 0, "Internal error, try again later")
		return
	}
	c.reply(e.Code, enhancedOf(e), e.Message)
}

// waitFor starts the clock of a command, or of content.
func (c *Conn) waitFor(content bool) {
	c.wait = wait{content: content, since: time.Now(), before: c.in.total}
}

// beforeRead flushes the replies and bounds the read that follows.
func (c *Conn) beforeRead() error {
	if err := c.out.flush(); err != nil {
		return err
	}
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	if c.gate.draining && c.gate.between {
		return errDraining
	}
	patience := c.o.Idle
	if c.gate.draining {
		patience = min(patience, drainingIdle)
	}
	deadline := c.wait.since.Add(patience)
	if c.wait.content {
		now, earned := time.Now(), (c.in.total-c.wait.before)/c.o.minRate()
		deadline = c.wait.since.Add(c.o.Idle + time.Duration(earned)*time.Second)
		if now.After(deadline) {
			return errSlow
		}
		if silent := now.Add(patience); silent.Before(deadline) {
			deadline = silent
		}
	}
	return c.conn.SetReadDeadline(deadline)
}

func (g *gate) drainingBetween() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.draining && g.between
}

func (g *gate) set(between bool, conn net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.between, g.conn = between, conn
}

// linger lets the client read our last words: closing with input unread would
// reset the connection and lose them.
func (c *Conn) linger() {
	const most, patience = 256 << 10, time.Second
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.gate.mu.Lock()
	c.gate.ended = true
	err := c.conn.SetReadDeadline(time.Now().Add(patience))
	c.gate.mu.Unlock()
	if err == nil {
		_, _ = io.CopyN(io.Discard, c.conn, most)
	}
}

func (c *Conn) logout() {
	if c.session != nil {
		_ = c.session.Logout() // go-smtp's contract gives the error no meaning
		c.session = nil
	}
}
