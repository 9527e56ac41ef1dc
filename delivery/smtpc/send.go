package smtpc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"quorumta/delivery/transport"
	"quorumta/internal/mail"
)

// window is how many commands are written before their replies are read: few
// enough that neither side's buffers fill up while both write (RFC 2920,
// section 3.1).
const window = 100

// Send carries out one transaction. The Result holds what was said until then
// also when it fails, with a *transport.Error; the connection is closed then. Without
// an error the connection may carry the next message, unless it is Closed: a
// server may end its last reply with 421.
func (c *Conn) Send(ctx context.Context, m *transport.Message) (transport.Result, error) {
	c.begin(ctx)
	res := transport.Result{Rcpts: make([]mail.Reply, len(m.Recipients))}
	content := m.Content
	if refusal, ok := c.cannot(m, &content); ok {
		res.Mail = refusal
		return res, nil
	}
	if !c.names(m, &res) {
		return res, nil
	}
	chunked := c.chunked(m)
	if err := c.envelope(m, chunked, &res); err != nil {
		return res, err
	}
	switch {
	case chunked && res.Accepted():
		return res, c.chunks(m, content, &res)
	case res.Data.Code == 354 && res.Accepted():
		return res, c.content(m, content, &res)
	case res.Data.Code == 354 && c.o.LMTP:
		// RFC 2033, section 4.2: 503 is due, for nobody would get a reply.
		return res, c.fail(transport.PhaseData, res.Data, fmt.Errorf("%w: it takes DATA without a recipient", transport.ErrProtocol))
	case res.Data.Code == 354:
		// A server that takes DATA without a recipient gets an empty message
		// for nobody (RFC 2920, section 3.1).
		if err := c.emptyDot(); err != nil {
			return res, err
		}
	case res.Data.Positive():
		return res, c.fail(transport.PhaseData, res.Data, fmt.Errorf("%w: it answers DATA with %d", transport.ErrProtocol, res.Data.Code))
	}
	c.needsReset = true
	return res, nil
}

// cannot tells that this server will not get this message, in our own words:
// it is too large for it (RFC 1870, section 6.1), or needs REQUIRETLS (RFC 8689,
// section 4.2.1) or SMTPUTF8 which it does not offer (RFC 6531, section 3.5). It may look at the beginning of the
// content, and puts a reader in its place that has it again.
func (c *Conn) cannot(m *transport.Message, content *io.Reader) (mail.Reply, bool) {
	if c.ext.Size > 0 && m.Size > c.ext.Size {
		text := fmt.Sprintf("message of %d bytes is larger than the %d that the server takes", m.Size, c.ext.Size)
		return mail.Reply{Code: 552, Enhanced: "5.3.4", Text: text}, true
	}
	if m.RequireTLS && !m.From.IsNull() && !c.requireTLS(m) {
		return mail.Reply{Code: 550, Enhanced: "5.7.30", Text: "message needs REQUIRETLS, which the server does not offer"}, true
	}
	if !m.UTF8 || c.ext.UTF8 {
		return mail.Reply{}, false
	}
	head := bufio.NewReaderSize(m.Content, 64<<10)
	*content = head
	if headerUTF8(head) || !asASCII(m.From).ASCII() {
		return mail.Reply{Code: 553, Enhanced: "5.6.7", Text: "message needs SMTPUTF8, which the server does not offer"}, true
	}
	return mail.Reply{}, false
}

// names reports whether the server can be told of a recipient at all. Those that
// it cannot are answered in our own words (RFC 6531, section 3.5): without
// SMTPUTF8 an address is in ASCII, its domain at least in the labels of the DNS.
func (c *Conn) names(m *transport.Message, res *transport.Result) bool {
	left := len(m.Recipients)
	for i := range m.Recipients {
		if !c.ext.UTF8 && !asASCII(m.Recipients[i].Address).ASCII() {
			res.Rcpts[i] = mail.Reply{Code: 553, Enhanced: "5.6.7", Text: "the address needs SMTPUTF8, which the server does not offer"}
			left--
		}
	}
	return left > 0
}

// headerUTF8 looks for characters beyond ASCII in the header.
func headerUTF8(content *bufio.Reader) bool {
	header, _ := content.Peek(content.Size())
	if end := bytes.Index(header, []byte("\r\n\r\n")); end >= 0 {
		header = header[:end]
	}
	return bytes.ContainsFunc(header, func(r rune) bool { return r >= 0x80 })
}

// asASCII is an address with the labels of its domain in ASCII (RFC 5890), where
// that is all it lacks to be used without SMTPUTF8.
func asASCII(a mail.Address) mail.Address {
	if a.ASCII() {
		return a
	}
	if name, err := a.HostName(); err == nil {
		a.Domain = name
	}
	return a
}

// step is a command, and where its reply goes.
type step struct {
	phase transport.Phase
	line  string
	into  *mail.Reply
}

// steps are the commands of a transaction up to DATA, or the first BDAT.
func (c *Conn) steps(m *transport.Message, chunked bool, res *transport.Result) []step {
	steps := make([]step, 0, len(m.Recipients)+3)
	if c.needsReset {
		steps = append(steps, step{transport.PhaseMail, "RSET", new(mail.Reply)})
		c.needsReset = false
	}
	steps = append(steps, step{transport.PhaseMail, c.mailCommand(m), &res.Mail})
	for i := range m.Recipients {
		if res.Rcpts[i].Code != 0 {
			continue // it cannot be named
		}
		r := m.Recipients[i]
		if !c.ext.UTF8 {
			r.Address = asASCII(r.Address)
		}
		steps = append(steps, step{transport.PhaseRcpt, c.rcptCommand(&r), &res.Rcpts[i]})
	}
	if chunked {
		return steps
	}
	return append(steps, step{transport.PhaseData, "DATA", &res.Data})
}

// envelope says everything up to DATA, or the first BDAT, a window at a time.
func (c *Conn) envelope(m *transport.Message, chunked bool, res *transport.Result) error {
	size := 1
	if c.ext.Pipelining {
		size = window
	}
	steps := c.steps(m, chunked, res)
	for len(steps) > 0 && !hopeless(steps[0], res) {
		n := min(size, len(steps))
		for _, s := range steps[:n] {
			_, _ = c.w.WriteString(s.line) // Flush tells the error
			_, _ = c.w.WriteString("\r\n")
		}
		if err := c.w.Flush(); err != nil {
			return c.fail(steps[0].phase, c.lastWord(), err)
		}
		for _, s := range steps[:n] {
			reply, _, err := c.read(c.limit(s.phase))
			*s.into = reply
			if err != nil || reply.Code == 421 {
				return c.fail(s.phase, reply, err)
			}
		}
		steps = steps[n:]
	}
	return nil
}

// hopeless reports whether the transaction has failed already, so that the
// step is not worth its round trip.
func hopeless(s step, res *transport.Result) bool {
	switch s.phase {
	case transport.PhaseRcpt:
		return !res.Mail.Positive()
	case transport.PhaseData:
		return !res.Accepted()
	}
	return false
}

func (c *Conn) limit(p transport.Phase) time.Duration {
	switch p {
	case transport.PhaseRcpt:
		return c.o.Timeouts.Rcpt
	case transport.PhaseData:
		return c.o.Timeouts.Data
	}
	return c.o.Timeouts.Mail
}

// content sends the content, asks whether it may end it, and ends it. What is
// left in the buffer by then leaves in one write with the dot.
func (c *Conn) content(m *transport.Message, content io.Reader, res *transport.Result) error {
	var err error
	out := lines{w: c.w, dots: true}
	res.Sent, err = out.from(content, c.block())
	switch {
	case err == nil:
		return c.end(m, res, ".")
	case errors.As(err, new(sourceError)):
		return c.fail(transport.PhaseContent, mail.Reply{}, err)
	}
	return c.fail(transport.PhaseContent, c.lastWord(), err)
}

// end has the last look, says what ends the content, and hears what became of
// the message.
func (c *Conn) end(m *transport.Message, res *transport.Result, word string) error {
	if m.BeforeDot != nil {
		if err := m.BeforeDot(); err != nil {
			return c.fail(transport.PhaseContent, mail.Reply{}, sourceError{err})
		}
	}
	res.Dot = true
	_, _ = c.w.WriteString(word) // Flush tells the error
	_, _ = c.w.WriteString("\r\n")
	if err := c.w.Flush(); err != nil {
		// A write that fails has not handed over its last byte.
		res.Dot = false
		return c.fail(transport.PhaseContent, c.lastWord(), err)
	}
	if c.o.LMTP {
		return c.finals(res)
	}
	var err error
	if res.Final, _, err = c.read(c.o.Timeouts.Dot); err != nil {
		return c.fail(transport.PhaseDot, mail.Reply{}, err)
	}
	if res.Final.Code == 421 {
		c.Close()
	}
	return nil
}

// emptyDot ends a message for nobody.
func (c *Conn) emptyDot() error {
	reply, err := c.ask(".", c.o.Timeouts.Data)
	if err != nil || reply.Code == 421 {
		return c.fail(transport.PhaseData, reply, err)
	}
	return nil
}

// lastWord is what the server said before it closed the connection on us
// while we were writing; it is worth a short wait, since it tells why.
func (c *Conn) lastWord() mail.Reply {
	reply, _, err := c.read(time.Second)
	if err != nil {
		return mail.Reply{}
	}
	return reply
}

// mailCommand is MAIL with the parameters that the server understands.
func (c *Conn) mailCommand(m *transport.Message) string {
	var b strings.Builder
	b.Grow(len("MAIL FROM:<@> SIZE=18446744073709551615 BODY=8BITMIME") + len(m.From.Local) + len(m.From.Domain))
	from := m.From
	if !c.ext.UTF8 {
		from = asASCII(from)
	}
	b.WriteString("MAIL FROM:<")
	b.WriteString(from.String())
	b.WriteString(">")
	if c.ext.Sized {
		b.WriteString(" SIZE=")
		b.WriteString(strconv.FormatInt(m.Size, 10))
	}
	if c.ext.EightBit && m.EightBit {
		b.WriteString(" BODY=8BITMIME")
	}
	if c.ext.UTF8 && m.UTF8 {
		b.WriteString(" SMTPUTF8")
	}
	if c.requireTLS(m) {
		b.WriteString(" REQUIRETLS")
	}
	if c.ext.Priority && m.Priority != 0 {
		b.WriteString(" MT-PRIORITY=" + strconv.Itoa(int(m.Priority)))
	}
	if c.ext.DSN {
		switch m.Return {
		case mail.ReturnHeaders:
			b.WriteString(" RET=HDRS")
		case mail.ReturnFull:
			b.WriteString(" RET=FULL")
		}
		if m.EnvID != "" {
			b.WriteString(" ENVID=" + xtext(m.EnvID))
		}
	}
	return b.String()
}

// requireTLS reports whether the message is given with REQUIRETLS: a server's
// word counts over TLS only (RFC 8689, section 2).
func (c *Conn) requireTLS(m *transport.Message) bool {
	return m.RequireTLS && c.ext.RequireTLS && c.tls != nil
}

// rcptCommand is RCPT with the parameters that the server understands.
func (c *Conn) rcptCommand(r *mail.Recipient) string {
	line := "RCPT TO:<" + r.Address.String() + ">"
	if !c.ext.DSN {
		return line
	}
	if r.Notify != 0 {
		line += " NOTIFY=" + notify(r.Notify)
	}
	if kind, address, ok := strings.Cut(r.Original, ";"); ok {
		line += " ORCPT=" + kind + ";" + xtext(address)
	}
	return line
}

func notify(n mail.Notify) string {
	if n&mail.NotifyNever != 0 {
		return "NEVER"
	}
	var words []string
	for _, w := range []struct {
		n    mail.Notify
		word string
	}{{mail.NotifySuccess, "SUCCESS"}, {mail.NotifyFailure, "FAILURE"}, {mail.NotifyDelay, "DELAY"}} {
		if n&w.n != 0 {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ",")
}

// xtext encodes a value of ENVID or ORCPT (RFC 3461, section 4). Characters
// beyond ASCII take the form of RFC 6533, section 3, which is xtext as well.
func xtext(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 0x80 {
			fmt.Fprintf(&b, `\x{%X}`, r)
			continue
		}
		b.WriteString(mail.XText(string(r)))
	}
	return b.String()
}
