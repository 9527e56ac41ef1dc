package wire

import (
	"errors"
	"io"
	"strconv"
	"strings"
)

// errReset: the client gave the message up between two chunks.
var errReset = errors.New("the client gave the message up")

// chunkReader strings the chunks of BDAT together (RFC 3030). Between chunks it
// answers the one and reads the command of the next. Content that does not end
// with CR LF is given one, so that it can go on by DATA.
type chunkReader struct {
	c     *Conn
	guard guard
	left  int64 // octets of the present chunk to come
	size  int64 // of the present chunk
	last  bool  // the present chunk is the last
	err   error // of the connection, or errReset
}

// bdat answers BDAT and the ones that follow it up to LAST.
func (c *Conn) bdat(arg string) {
	size, last, ok := parseChunk(arg)
	if !ok {
		c.unknownChunk()
		return
	}
	r := &chunkReader{c: c, guard: newGuard(c.o.MaxMessage, c.o.MaxLine)}
	if !c.tx.open || c.tx.recipients == 0 {
		// The octets follow whatever the answer; RFC 3030, section 2.
		r.begin(size, last)
		if err := r.finish(); err != nil {
			c.contentBroken(err, r.guard.fault)
			return
		}
		c.ready()
		return
	}
	c.in.enlarge()
	r.begin(size, last)
	err := whole(c.session.Data(r), r.last && r.left == 0)
	c.answered = "DOT"
	switch broken := r.finish(); {
	case r.err == errReset:
		// What the client said instead is pending and will be answered.
		c.reset()
	case broken != nil:
		c.contentBroken(broken, r.guard.fault)
	default:
		c.contentEnded(err, r.guard.fault)
	}
}

// parseChunk reads "size [LAST]".
func parseChunk(arg string) (size int64, last, ok bool) {
	number, rest, _ := strings.Cut(arg, " ")
	n, err := strconv.ParseUint(number, 10, 63)
	rest = strings.Trim(rest, " ")
	last = strings.EqualFold(rest, "LAST")
	return int64(n), last, err == nil && (rest == "" || last)
}

// unknownChunk ends the connection: how many octets follow is not known, and
// they must not be taken for commands.
func (c *Conn) unknownChunk() {
	c.give(501, 5, 5, 4, "Syntax: BDAT size [LAST]; closing")
	c.closing = true
}

func (r *chunkReader) begin(size int64, last bool) {
	r.left, r.size, r.last = size, size, last
	r.c.waitFor(true)
	if size > r.guard.max-r.guard.size {
		r.guard.fail(tooBig)
	}
}

// Read implements io.Reader.
func (r *chunkReader) Read(p []byte) (int, error) {
	if len(p) < 2 {
		return 0, io.ErrShortBuffer // room for the last CR LF
	}
	for r.left == 0 && !r.last && r.err == nil && r.guard.fault == sound {
		r.err = r.nextChunk()
	}
	switch {
	case r.guard.fault != sound:
		return 0, r.guard.fault.reply()
	case r.err != nil:
		return 0, r.err
	case r.left == 0:
		return r.end(p)
	}
	n, err := r.take(p)
	if r.guard.fault != sound {
		return 0, r.guard.fault.reply()
	}
	return n, err
}

// end is what Read does behind the last chunk.
func (r *chunkReader) end(p []byte) (int, error) {
	r.guard.end()
	if r.guard.fault != sound {
		return 0, r.guard.fault.reply()
	}
	if r.guard.col == 0 {
		return 0, io.EOF
	}
	n := copy(p, "\r\n")
	r.guard.col = 0
	return n, nil
}

// take reads from the present chunk, which is not at its end.
func (r *chunkReader) take(p []byte) (int, error) {
	in := &r.c.in
	if len(in.buffered()) == 0 {
		if r.err = unexpected(in.fill()); r.err != nil {
			return 0, r.err
		}
	}
	b := in.buffered()
	b = b[:min(int64(len(b)), int64(len(p)), r.left)]
	r.guard.scan(b)
	copy(p, b)
	in.advance(len(b))
	r.left -= int64(len(b))
	return len(b), nil
}

// nextChunk answers the present chunk and reads commands up to the next BDAT.
func (r *chunkReader) nextChunk() error {
	c := r.c
	c.answered = "BDAT"
	c.give(250, 2, 0, 0, strconv.FormatInt(r.size, 10)+" octets taken")
	for !c.closing {
		cmd, err := c.next()
		if err != nil {
			return unexpected(err)
		}
		switch cmd.verb {
		case "BDAT":
			size, last, ok := parseChunk(cmd.arg)
			if !ok {
				c.unknownChunk()
				return io.ErrUnexpectedEOF
			}
			c.in.enlarge()
			r.begin(size, last)
			return nil
		case "NOOP":
			c.give(250, 2, 0, 0, "Ok")
		case "RSET", "QUIT", "EHLO", "HELO":
			c.pending = &cmd
			return errReset
		default:
			c.give(503, 5, 5, 1, "BDAT or RSET is expected")
		}
	}
	return io.ErrUnexpectedEOF
}

// finish drops the rest of a chunk that nobody wants. The chunks after it find
// no transaction.
func (r *chunkReader) finish() error {
	if r.err != nil {
		return r.err
	}
	if r.guard.fault != sound && r.left > 2*r.guard.max+largeBuffer {
		return errTooMuch
	}
	if r.left == 0 {
		return nil
	}
	scratch := make([]byte, 4<<10)
	for r.left > 0 {
		if _, err := r.take(scratch); err != nil {
			return err
		}
	}
	return nil
}
