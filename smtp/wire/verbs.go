package wire

import (
	"errors"
	"fmt"
	"strings"

	gosmtp "github.com/emersion/go-smtp"

	"quorumta/smtp/wire/parameter"
)

// handle answers one command. Verbs that need EHLO say so themselves.
func (c *Conn) handle(cmd command) {
	switch cmd.verb {
	case "EHLO", "HELO":
		c.greet(cmd)
	case "MAIL":
		c.mail(cmd.arg)
	case "RCPT":
		c.rcpt(cmd.arg)
	case "DATA":
		c.data(cmd.arg)
	case "BDAT":
		c.bdat(cmd.arg)
	case "RSET":
		if c.plain(cmd) {
			c.reset()
			c.give(250, 2, 0, 0, "Ok")
		}
	case "NOOP":
		c.give(250, 2, 0, 0, "Ok")
	case "QUIT":
		if c.plain(cmd) {
			c.give(221, 2, 0, 0, "Bye")
			c.closing = true
		}
	case "STARTTLS":
		c.startTLS(cmd)
	case "VRFY":
		c.give(252, 2, 1, 5, "Cannot verify, send to it and see")
	case "HELP":
		c.give(214, 2, 0, 0, "See RFC 5321")
	case "EXPN", "AUTH", "ETRN":
		c.give(502, 5, 5, 1, "Command not implemented")
	default:
		if foreign(cmd.verb) {
			c.give(521, 5, 5, 1, "This is a mail server, closing")
			return
		}
		c.give(500, 5, 5, 2, "Command not recognized")
	}
}

// plain refuses an argument where none belongs.
func (c *Conn) plain(cmd command) bool {
	if cmd.arg == "" {
		return true
	}
	c.give(501, 5, 5, 4, cmd.verb+" takes no argument")
	return false
}

func (c *Conn) greet(cmd command) {
	name, ok := helloName(cmd.arg)
	if !ok {
		c.give(501, 5, 5, 4, cmd.verb+" needs a domain or an address literal")
		return
	}
	c.reset()
	c.logout()
	c.hello = hello{name: name, extended: cmd.verb == "EHLO"}
	session, err := c.o.Backend.NewSession(c)
	if err != nil {
		c.refuse(err)
		return
	}
	c.session = session
	if !c.hello.extended {
		c.reply(250, gosmtp.NoEnhancedCode, c.o.Hostname)
		return
	}
	c.reply(250, gosmtp.NoEnhancedCode, c.o.Hostname+"\n"+strings.Join(c.extensions(), "\n"))
}

// extensions are the lines of the answer to EHLO.
func (c *Conn) extensions() []string {
	list := []string{
		"PIPELINING",
		fmt.Sprintf("SIZE %d", c.o.MaxMessage),
		"8BITMIME",
		"SMTPUTF8",
		"CHUNKING",
		"DSN",
		"ENHANCEDSTATUSCODES",
		fmt.Sprintf("LIMITS RCPTMAX=%d", c.o.MaxRecipients),
	}
	if c.o.TLS != nil && c.tls == nil {
		list = append(list, "STARTTLS")
	}
	if c.tls != nil && c.o.mayRequireTLS() {
		list = append(list, "REQUIRETLS") // RFC 8689, section 2: over TLS only
	}
	return append(list, c.o.offers(c.ctx).Extensions(c.o.now())...)
}

func (c *Conn) mail(arg string) {
	switch {
	case c.session == nil:
		c.give(503, 5, 5, 1, "EHLO first")
		return
	case c.o.RequireTLS && c.tls == nil:
		c.give(530, 5, 7, 0, "STARTTLS first")
		return
	case c.tx.open:
		c.give(503, 5, 5, 1, "A transaction is open already")
		return
	}
	from, rest, ok := cutPath(arg, "FROM:")
	if !ok {
		c.give(501, 5, 5, 4, "Syntax: MAIL FROM:<address> [parameters]")
		return
	}
	opts, wishes, refused := parameter.Mail(rest, c.o.offers(c.ctx), c.o.now())
	switch {
	case refused != nil:
		c.refuse(refused)
		return
	case opts.RequireTLS && (c.tls == nil || !c.o.mayRequireTLS()):
		c.refuse(parameter.Unknown())
		return
	case !opts.UTF8 && !isASCII(arg):
		c.refuse(needsUTF8.reply())
		return
	case opts.Size > c.o.MaxMessage:
		c.refuse(tooBig.reply())
		return
	}
	c.tx.wishes = wishes
	if err := c.session.Mail(from, opts); err != nil {
		c.refuse(err)
		return
	}
	c.tx = transaction{open: true, utf8: opts.UTF8, wishes: wishes}
	c.gate.set(false, c.conn)
	c.give(250, 2, 1, 0, "Ok")
}

func (c *Conn) rcpt(arg string) {
	if !c.tx.open {
		c.give(503, 5, 5, 1, "MAIL first")
		return
	}
	to, rest, ok := cutPath(arg, "TO:")
	if !ok || to == "" {
		c.give(501, 5, 5, 4, "Syntax: RCPT TO:<address> [parameters]")
		return
	}
	if c.tx.recipients >= c.o.MaxRecipients {
		c.give(452, 4, 5, 3, "Too many recipients, send to the others in another transaction")
		return
	}
	opts, refused := parameter.Rcpt(rest)
	switch {
	case refused != nil:
		c.refuse(refused)
		return
	case !c.tx.utf8 && !isASCII(arg):
		c.refuse(needsUTF8.reply())
		return
	}
	if err := c.session.Rcpt(to, opts); err != nil {
		c.refuse(err)
		return
	}
	c.tx.recipients++
	c.give(250, 2, 1, 5, "Ok")
}

// ready reports whether content may come, and says why not.
func (c *Conn) ready() bool {
	switch {
	case !c.tx.open:
		c.give(503, 5, 5, 1, "MAIL first")
	case c.tx.recipients == 0:
		c.give(554, 5, 5, 1, "No valid recipients")
	default:
		return true
	}
	return false
}

func (c *Conn) data(arg string) {
	if arg != "" {
		c.give(501, 5, 5, 4, "DATA takes no argument")
		return
	}
	if !c.ready() {
		return
	}
	c.reply(354, gosmtp.NoEnhancedCode, "End data with <CR><LF>.<CR><LF>")
	c.in.enlarge()
	c.waitFor(true)
	c.answered = "DOT"
	d := newDotReader(&c.in, c.o.MaxMessage, c.o.MaxLine)
	err := whole(c.session.Data(d), d.done)
	if broken := d.finish(); broken != nil {
		c.contentBroken(broken, d.guard.fault)
		return
	}
	c.contentEnded(err, d.guard.fault)
}

// whole guards against a session that says yes to content it did not read.
func whole(err error, ended bool) error {
	if !ended && accepts(err) {
		return errUnread
	}
	return err
}

// accepts reports whether a session took the message: an SMTPError with a code
// 2yz is go-smtp's way to choose the text of success.
func accepts(err error) bool {
	var e *gosmtp.SMTPError
	return err == nil || errors.As(err, &e) && e.Code/100 == 2
}

// contentEnded answers content that has come to its end. A fault of the
// content comes before what the session made of the part that it saw.
func (c *Conn) contentEnded(err error, f fault) {
	if f == sound && accepts(err) {
		c.errors = 0
	}
	switch {
	case f != sound:
		c.refuse(f.reply())
	case err != nil:
		c.refuse(err)
	default:
		c.give(250, 2, 0, 0, "Ok")
	}
	c.reset()
}

// contentBroken ends a connection in the middle of content: it cannot be told
// any more where the next command starts.
func (c *Conn) contentBroken(err error, f fault) {
	if c.closing {
		return // it was said why
	}
	var e *gosmtp.SMTPError
	switch {
	case errors.As(err, &e):
		c.refuse(e)
	case err == errTooMuch && f != sound:
		c.refuse(f.reply())
	case !c.broken(err):
		c.out.err = err // nobody hears what would be said now
	}
	c.closing = true
}

// reset ends the transaction.
func (c *Conn) reset() {
	if c.session != nil && c.tx.open {
		c.session.Reset()
	}
	c.tx = transaction{}
	c.gate.set(true, c.conn)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
