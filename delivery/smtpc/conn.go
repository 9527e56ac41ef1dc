package smtpc

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"quorumta/delivery/transport"
	"quorumta/internal/mail"
)

// blockSize is how much content is written at once, and what of it leaves
// together with the dot.
const blockSize = 32 << 10

// Extensions are what a server offers in its answer to EHLO.
type Extensions struct {
	Pipelining bool // RFC 2920
	EightBit   bool // RFC 6152
	UTF8       bool // RFC 6531
	DSN        bool // RFC 3461
	Chunking   bool // RFC 3030
	StartTLS   bool // RFC 3207
	RequireTLS bool // RFC 8689
	Priority   bool // RFC 6710
	// Auth are the SASL mechanisms of AUTH (RFC 4954), as they were written.
	Auth []string
	// Size is the largest message the server takes (RFC 1870), in bytes; 0 if
	// it does not say. Sized tells whether MAIL may have SIZE.
	Size  int64
	Sized bool
	// Recipients is the most a transaction may have (RFC 9422); 0 if the
	// server does not say.
	Recipients int
	// Messages is the most that a session may carry, Domains the most that its
	// recipients may be of (RFC 9422); 0 if the server does not say.
	Messages, Domains int
}

// Conn is a session with one server. It is used by one goroutine at a time.
type Conn struct {
	nc         net.Conn
	r          *bufio.Reader
	w          *bufio.Writer
	buf        []byte // content on its way; nil before the first
	o          Options
	ext        Extensions
	tls        *tls.ConnectionState
	ctx        context.Context // of the call under way
	ends       <-chan struct{} // the end of ctx, or of the call before
	unwatch    func() bool     // ends is not heeded any more; nil where it never was
	needsReset bool            // a transaction may be open at the server
	closed     bool
}

// Greet takes a new connection over, reads the server's greeting and says
// EHLO, or HELO to a server that refuses it (RFC 5321, section 3.2). The
// connection is closed when it fails, with a *transport.Error.
func Greet(ctx context.Context, nc net.Conn, o Options) (*Conn, error) {
	o.Timeouts = o.Timeouts.filled()
	c := &Conn{o: o}
	c.attach(nc)
	c.begin(ctx)
	reply, _, err := c.read(o.Timeouts.Greeting)
	if err != nil || !reply.Positive() {
		return nil, c.fail(transport.PhaseGreeting, reply, err)
	}
	if err := c.hello(); err != nil {
		return nil, err
	}
	return c, nil
}

// StartTLS makes the session secret (RFC 3207) and says EHLO again. What cfg
// asks of the server's certificate must hold. The connection is closed when it
// fails, with a *transport.Error, also where the server does not offer it.
func (c *Conn) StartTLS(ctx context.Context, cfg *tls.Config) error {
	c.begin(ctx)
	if !c.ext.StartTLS {
		return c.fail(transport.PhaseTLS, mail.Reply{}, transport.ErrNoTLS)
	}
	reply, err := c.ask("STARTTLS", c.o.Timeouts.Hello)
	if err != nil || !reply.Positive() {
		return c.fail(transport.PhaseTLS, reply, err)
	}
	if c.r.Buffered() > 0 { // injected by somebody who cannot read what follows
		return c.fail(transport.PhaseTLS, mail.Reply{}, fmt.Errorf("%w: it went on in the clear after STARTTLS", transport.ErrProtocol))
	}
	tc, err := Handshake(c.ctx, c.nc, cfg, c.o.Timeouts.TLS)
	if err != nil {
		return c.fail(transport.PhaseTLS, mail.Reply{}, err)
	}
	c.attach(tc)
	return c.hello()
}

// Handshake makes a connection secret from its first byte on; Greet comes
// after it (RFC 8314, section 3.3).
func Handshake(ctx context.Context, nc net.Conn, cfg *tls.Config, limit time.Duration) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	tc := tls.Client(nc, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return tc, nil
}

// Extensions are what the server offers.
func (c *Conn) Extensions() Extensions { return c.ext }

// TLS is the state of the TLS session; nil in the clear.
func (c *Conn) TLS() *tls.ConnectionState { return c.tls }

// Closed reports whether the connection has ended.
func (c *Conn) Closed() bool { return c.closed }

// Quit takes leave and closes the connection.
func (c *Conn) Quit(ctx context.Context) {
	if c.closed {
		return
	}
	c.begin(ctx)
	_, _ = c.ask("QUIT", c.o.Timeouts.Quit)
	c.Close()
}

// Close closes the connection without a word.
func (c *Conn) Close() {
	c.closed = true
	if c.unwatch != nil {
		c.unwatch()
	}
	_ = c.nc.Close()
}

// attach puts the session on a connection.
func (c *Conn) attach(nc net.Conn) {
	c.nc = nc
	c.r = bufio.NewReaderSize(nc, maxReplyLine)
	c.w = bufio.NewWriterSize(timedWriter{c}, blockSize)
	if tc, ok := nc.(*tls.Conn); ok {
		state := tc.ConnectionState()
		c.tls = &state
	}
}

// begin makes the end of ctx interrupt what the connection does from now on. The
// contexts of most calls end together: that is watched for once.
func (c *Conn) begin(ctx context.Context) {
	c.ctx = ctx
	if c.ends == ctx.Done() {
		return
	}
	if c.unwatch != nil {
		c.unwatch()
	}
	c.ends = ctx.Done()
	nc := c.nc
	c.unwatch = context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
}

// arm gives the next read or write its time.
func (c *Conn) arm(limit time.Duration) {
	_ = c.nc.SetDeadline(time.Now().Add(limit))
	if c.ctx.Err() != nil {
		_ = c.nc.SetDeadline(time.Unix(1, 0))
	}
}

// block is what content is read into.
func (c *Conn) block() []byte {
	if c.buf == nil {
		c.buf = make([]byte, blockSize)
	}
	return c.buf
}

// timedWriter bounds each write of a block.
type timedWriter struct{ c *Conn }

func (w timedWriter) Write(p []byte) (int, error) {
	w.c.arm(w.c.o.Timeouts.Block)
	return w.c.nc.Write(p)
}

// read reads one reply.
func (c *Conn) read(limit time.Duration) (mail.Reply, []string, error) {
	if ahead, _ := c.r.Peek(c.r.Buffered()); !wholeReply(ahead) {
		c.arm(limit)
	}
	return readReply(c.r)
}

// wholeReply reports whether a reply of one line is there already, as behind
// others that came with it: its reading takes no time.
func wholeReply(b []byte) bool {
	return len(b) > 3 && b[3] == ' ' && bytes.IndexByte(b, '\n') >= 0
}

// ask writes a command and reads its reply.
func (c *Conn) ask(command string, limit time.Duration) (mail.Reply, error) {
	reply, _, err := c.askLines(command, limit)
	return reply, err
}

// askLines is ask with the text of each line of the reply.
func (c *Conn) askLines(command string, limit time.Duration) (mail.Reply, []string, error) {
	_, _ = c.w.WriteString(command + "\r\n") // Flush tells the error
	if err := c.w.Flush(); err != nil {
		return mail.Reply{}, nil, err
	}
	return c.read(limit)
}

// fail closes the connection and says why.
func (c *Conn) fail(phase transport.Phase, reply mail.Reply, err error) *transport.Error {
	c.Close()
	e := &transport.Error{Phase: phase, Reply: reply, Err: err}
	var source sourceError
	switch {
	case c.ctx.Err() != nil && err != nil:
		e.Err, e.Ours = context.Cause(c.ctx), true
	case errors.As(err, &source):
		e.Err, e.Ours = source.err, true
	}
	return e
}

// hello introduces us and learns what the server can do.
func (c *Conn) hello() error {
	c.ext = Extensions{}
	verb := "EHLO "
	if c.o.LMTP {
		verb = "LHLO " // RFC 2033, section 4.1
	}
	reply, lines, err := c.askLines(verb+c.o.Hostname, c.o.Timeouts.Hello)
	if err == nil && reply.Permanent() && !c.o.LMTP {
		if reply, err = c.ask("HELO "+c.o.Hostname, c.o.Timeouts.Hello); err == nil {
			lines = nil
		}
	}
	if err != nil || !reply.Positive() {
		return c.fail(transport.PhaseHello, reply, err)
	}
	if len(lines) > 1 {
		c.ext = parseExtensions(lines[1:])
	}
	return nil
}

// parseExtensions reads the lines after the first of an answer to EHLO. Of a
// keyword that it cannot read it takes the harmless meaning.
func parseExtensions(lines []string) Extensions {
	var e Extensions
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if first, ok := cutAuth(words[0]); ok {
			words = append([]string{"AUTH", first}, words[1:]...)
		}
		switch strings.ToUpper(words[0]) {
		case "PIPELINING":
			e.Pipelining = true
		case "8BITMIME":
			e.EightBit = true
		case "SMTPUTF8":
			e.UTF8 = true
		case "DSN":
			e.DSN = true
		case "CHUNKING":
			e.Chunking = true
		case "STARTTLS":
			e.StartTLS = true
		case "REQUIRETLS":
			e.RequireTLS = true
		case "MT-PRIORITY":
			e.Priority = true
		case "AUTH":
			e.Auth = append(e.Auth, words[1:]...)
		case "SIZE":
			e.Sized = true
			if len(words) > 1 {
				e.Size, _ = strconv.ParseInt(words[1], 10, 64)
			}
		case "LIMITS":
			e.limits(words[1:])
		}
	}
	return e
}

// cutAuth reads "AUTH=PLAIN", as servers wrote it before RFC 2554.
func cutAuth(word string) (mechanism string, ok bool) {
	const old = "AUTH="
	if len(word) <= len(old) || !strings.EqualFold(word[:len(old)], old) {
		return "", false
	}
	return word[len(old):], true
}

// limits reads the words of LIMITS (RFC 9422, section 4).
func (e *Extensions) limits(words []string) {
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			continue
		}
		switch strings.ToUpper(name) {
		case "MAILMAX":
			e.Messages = n
		case "RCPTMAX":
			e.Recipients = n
		case "RCPTDOMAINMAX":
			e.Domains = n
		}
	}
}
