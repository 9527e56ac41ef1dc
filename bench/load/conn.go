package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// The stages a reply or an error can belong to.
const (
	stageConnect = "connect"
	stageMail    = "mail"
	stageRcpt    = "rcpt"
	stageData    = "data"
	stageDot     = "dot"
)

// result is how far one transaction came.
type result struct {
	stage   string
	code    int
	text    string
	refused []string
	// sent is when the final dot had been handed to the system; zero if it
	// was not.
	sent time.Time
	// err is set when there was no reply at this stage.
	err error
}

var errBadReply = errors.New("not an SMTP reply")

// conn is a connection on which EHLO has been said.
type conn struct {
	nc         net.Conn
	r          *bufio.Reader
	w          []byte
	pipelining bool
	carried    int // messages
}

// dial connects and says EHLO. The connection is nil where that failed, and
// the result then says how.
func dial(ctx context.Context, o *Options, address string) (*conn, result) {
	fail := func(err error) (*conn, result) { return nil, result{stage: stageConnect, err: err} }
	deadline := time.Now().Add(o.ConnectTimeout)
	// A run that ends lets the message at hand be finished, so its context
	// does not cancel the dialling.
	dctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	nc, err := o.Dial(dctx, address)
	if err != nil {
		return fail(err)
	}
	c := &conn{nc: nc, r: bufio.NewReaderSize(nc, 2048)}
	nc.SetDeadline(deadline)
	code, text, err := c.reply()
	if err == nil && code == 220 {
		if _, err = nc.Write([]byte("EHLO load.bench.example\r\n")); err == nil {
			code, text, err = c.extensions()
		}
	}
	if err != nil {
		c.close(false)
		return fail(err)
	}
	if code != 250 {
		c.close(true)
		return nil, result{stage: stageConnect, code: code, text: text}
	}
	return c, result{}
}

// transact sends one message. Its err leaves the connection unusable.
func (c *conn) transact(o *Options, m message) result {
	c.carried++
	c.nc.SetDeadline(time.Now().Add(o.CommandTimeout))
	r := c.envelope(o.From, m.to)
	if r.err != nil || r.code != 354 {
		if r.err == nil {
			r = c.reset(r)
		}
		return r
	}
	c.nc.SetDeadline(time.Now().Add(o.DotTimeout))
	if len(r.refused) == len(m.to) {
		return c.refuseData(r)
	}
	if _, err := m.writeTo(c.nc); err != nil {
		return result{stage: stageData, err: fmt.Errorf("sending the content: %w", err)}
	}
	r.stage, r.sent = stageDot, time.Now()
	r.code, r.text, r.err = c.reply()
	return r
}

// envelope sends MAIL, RCPT and DATA, in one go where the server can take it
// (RFC 2920), and reads the replies. The result is the reply to DATA, or the
// refusal before it that explains it.
func (c *conn) envelope(from string, to []string) result {
	if c.pipelining {
		c.w = append(append(append(c.w[:0], "MAIL FROM:<"...), from...), ">\r\n"...)
		for _, a := range to {
			c.w = append(append(append(c.w, "RCPT TO:<"...), a...), ">\r\n"...)
		}
		c.w = append(c.w, "DATA\r\n"...)
		if _, err := c.nc.Write(c.w); err != nil {
			return result{stage: stageMail, err: err}
		}
	}
	first := c.command(stageMail, "MAIL FROM:<", from, ">")
	if first.err != nil || (first.code/100 != 2 && !c.pipelining) {
		return first
	}
	var refused []string
	for _, a := range to {
		r := c.command(stageRcpt, "RCPT TO:<", a, ">")
		if r.err != nil {
			return r
		}
		if r.code/100 != 2 {
			refused = append(refused, a)
			if first.code/100 == 2 {
				first = r
			}
		}
	}
	if len(refused) == len(to) && !c.pipelining {
		first.refused = refused
		return first
	}
	r := c.command(stageData, "DATA", "", "")
	if r.err == nil && (len(refused) == len(to) || (first.code/100 != 2 && r.code != 354)) {
		// What made DATA fail says more than DATA's own reply.
		r.stage, r.text = first.stage, first.text
		if r.code != 354 {
			r.code = first.code
		}
	}
	r.refused = refused
	return r
}

// command sends a command unless it was pipelined, and reads its reply.
func (c *conn) command(stage, verb, argument, end string) result {
	if !c.pipelining {
		c.w = append(append(append(append(c.w[:0], verb...), argument...), end...), "\r\n"...)
		if _, err := c.nc.Write(c.w); err != nil {
			return result{stage: stage, err: err}
		}
	}
	code, text, err := c.reply()
	return result{stage: stage, code: code, text: text, err: err}
}

// refuseData ends a DATA that was allowed although no recipient was (RFC 2920,
// section 3.1: send a lone dot).
func (c *conn) refuseData(r result) result {
	if _, err := c.nc.Write([]byte(".\r\n")); err != nil {
		return result{stage: stageData, err: err}
	}
	code, text, err := c.reply()
	if code/100 == 2 {
		code, text = 554, "taken without recipients"
	}
	return result{stage: stageRcpt, code: code, text: text, refused: r.refused, err: err}
}

// reset makes the connection ready for another message after a refusal.
func (c *conn) reset(r result) result {
	if r.code == 421 {
		return r
	}
	if _, err := c.nc.Write([]byte("RSET\r\n")); err != nil {
		return result{stage: r.stage, err: err}
	}
	if _, _, err := c.reply(); err != nil {
		return result{stage: r.stage, err: err}
	}
	return r
}

// reply reads a reply; text is that of its last line.
func (c *conn) reply() (code int, text string, err error) {
	return c.replyLines(func([]byte) {})
}

// extensions reads the reply to EHLO.
func (c *conn) extensions() (code int, text string, err error) {
	return c.replyLines(func(line []byte) {
		if bytes.EqualFold(line, []byte("PIPELINING")) {
			c.pipelining = true
		}
	})
}

func (c *conn) replyLines(each func([]byte)) (code int, text string, err error) {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, "", err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) < 3 {
			return 0, "", errBadReply
		}
		code, err = strconv.Atoi(string(line[:3]))
		if err != nil || code < 200 || code > 599 {
			return 0, "", errBadReply
		}
		if len(line) == 3 {
			return code, "", nil
		}
		each(line[4:])
		if line[3] == ' ' {
			return code, string(line[4:]), nil
		}
	}
}

func (c *conn) close(politely bool) {
	if politely {
		c.nc.SetDeadline(time.Now().Add(time.Second))
		if _, err := c.nc.Write([]byte("QUIT\r\n")); err == nil {
			// The answer is not needed, but a server that finds the
			// connection reset counts an error.
			c.reply()
		}
	}
	c.nc.Close()
}
