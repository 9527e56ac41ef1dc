package convert

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
)

// encodedLine is how long lines of what we encode are (RFC 2045, sections 6.7
// and 6.8).
const encodedLine = 76

// reader is a message being converted while it is read.
type reader struct {
	w    *walker
	out  bytes.Buffer
	plan *Plan
	n    int // of the entity
	err  error

	body io.WriteCloser // encodes the body; nil where it stays
	// held: a line has ended, and its end has not been written yet.
	held   bool
	change change
	column int // of what is not encoded, or wrapped
}

// Reader converts a message while it is read from r, which has what was
// surveyed.
func (p *Plan) Reader(r io.Reader) io.Reader {
	c := &reader{plan: p}
	c.w = newWalker(r, c)
	return c
}

// Read implements io.Reader.
func (c *reader) Read(p []byte) (int, error) {
	for c.out.Len() == 0 && c.err == nil {
		c.err = c.w.step()
	}
	if c.out.Len() > 0 {
		return c.out.Read(p)
	}
	return 0, c.err
}

func (c *reader) entity(e *entity) {
	c.change = asItIs
	if c.n < len(c.plan.changes) {
		c.change = c.plan.changes[c.n]
	}
	c.n++
	c.held, c.body = false, nil
	c.header(e)
	switch c.change {
	case toQuoted:
		c.body = quotedprintable.NewWriter(&c.out)
	case toBase64:
		c.body = base64.NewEncoder(base64.StdEncoding, &wrapper{w: &c.out})
	}
}

// header writes an entity's header with the encoding that its body will have.
func (c *reader) header(e *entity) {
	raw := e.raw
	encoding := ""
	switch {
	case c.change == toQuoted:
		encoding = "quoted-printable"
	case c.change == toBase64:
		encoding = "base64"
	case c.plan.want.SevenBit && !e.sealed && !e.leaf && (e.encoding == "8bit" || e.encoding == "binary"):
		encoding = "7bit" // now that what is in it is
	}
	if encoding != "" {
		raw = relabel(e, encoding)
	}
	if !c.plan.want.Lines {
		c.out.Write(raw)
		return
	}
	for line := range bytes.Lines(raw) {
		c.fold(line)
	}
}

// relabel gives a header another Content-Transfer-Encoding. A message without
// MIME gets that, and the character set that nobody knows (RFC 1428).
func relabel(e *entity, encoding string) []byte {
	var out []byte
	label := []byte("Content-Transfer-Encoding: " + encoding + "\r\n")
	if start, end := find(e.raw, "Content-Transfer-Encoding"); start < end {
		out = append(append(append(out, e.raw[:start]...), label...), e.raw[end:]...)
	} else {
		fields := bytes.TrimSuffix(bytes.TrimSuffix(e.raw, []byte("\n")), []byte("\r"))
		out = append(append(out, fields...), label...)
		out = append(out, e.raw[len(fields):]...)
	}
	if _, ok := field(e.raw, "MIME-Version"); ok || !e.top {
		return out
	}
	more := []byte("MIME-Version: 1.0\r\n")
	if _, ok := field(e.raw, "Content-Type"); !ok {
		more = append(more, "Content-Type: text/plain; charset=unknown-8bit\r\n"...)
	}
	at := bytes.Index(out, label)
	return append(append(append([]byte{}, out[:at]...), more...), out[at:]...)
}

// fold breaks a header line that is too long at white space (RFC 5322, section
// 2.2.3). Where there is none it stays as it is.
func (c *reader) fold(line []byte) {
	for len(bytes.TrimRight(line, "\r\n")) > MaxLine {
		at := bytes.LastIndexAny(line[1:MaxLine], " \t") + 1
		if at <= 0 || len(bytes.Trim(line[:at], " \t")) == 0 {
			break
		}
		c.out.Write(line[:at])
		c.out.WriteString("\r\n")
		line = line[at:]
	}
	c.out.Write(line)
}

func (c *reader) text(piece []byte, first, last bool) {
	if c.held {
		c.lineEnd()
	}
	c.held = last
	switch {
	case c.body != nil:
		_, _ = c.body.Write(piece)
	case c.change == wrapQuoted || c.change == wrapBase64:
		c.wrapped(piece)
	default:
		c.out.Write(piece)
	}
}

func (c *reader) lineEnd() {
	c.held, c.column = false, 0
	if c.body != nil {
		_, _ = c.body.Write([]byte("\r\n"))
		return
	}
	c.out.WriteString("\r\n")
}

// wrapped writes what is encoded in lines that are short enough: soft line
// breaks change nothing in quoted-printable, line ends nothing in base64.
func (c *reader) wrapped(piece []byte) {
	quoted := c.change == wrapQuoted
	for _, b := range piece {
		// Not within =XX, which has three octets at most.
		if c.column >= encodedLine-1 || quoted && b == '=' && c.column >= encodedLine-3 {
			if quoted {
				c.out.WriteByte('=')
			}
			c.out.WriteString("\r\n")
			c.column = 0
		}
		c.out.WriteByte(b)
		c.column++
	}
}

func (c *reader) end(delimited bool) {
	if c.held && !delimited {
		c.lineEnd()
	}
	if c.body != nil {
		_ = c.body.Close()
		c.body = nil
		// Base64 needs the end of its last line, which means nothing in it.
		c.held = c.held || c.change == toBase64
	}
	if c.held {
		c.out.WriteString("\r\n")
	}
	c.held = false
}

// around writes what no reader of mail shows, in ASCII and short lines.
func (c *reader) around(piece []byte, first, last, sealed bool) {
	if first {
		c.column = 0
	}
	for _, b := range piece {
		if c.plan.want.SevenBit && b >= 0x80 && !sealed {
			b = '?'
		}
		if c.plan.want.Lines && c.column == MaxLine && !sealed {
			c.out.WriteString("\r\n")
			c.column = 0
		}
		c.out.WriteByte(b)
		c.column++
	}
	if last {
		c.out.WriteString("\r\n")
	}
}

// wrapper writes in lines of encodedLine.
type wrapper struct {
	w      *bytes.Buffer
	column int
}

// Write implements io.Writer.
func (w *wrapper) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if w.column == encodedLine {
			w.w.WriteString("\r\n")
			w.column = 0
		}
		k := min(len(p), encodedLine-w.column)
		w.w.Write(p[:k])
		w.column += k
		p = p[k:]
	}
	return n, nil
}
