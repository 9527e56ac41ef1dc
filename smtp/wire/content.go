package wire

import (
	"bytes"
	"errors"
	"io"
)

// errTooMuch: a refused message goes on and on; the connection is given up.
var errTooMuch = errors.New("the refused content does not end")

// lineStart says where in its lines the content stands.
type lineStart uint8

const (
	midLine lineStart = iota
	// afterCRLF: a dot here is the transparency's or the end's.
	afterCRLF
	// afterLF: behind a bare LF. A lone dot here ends nothing for us, but may
	// for another server.
	afterLF
)

// guard watches content for what must not be in it. The first fault stays.
type guard struct {
	max   int64 // octets of content
	line  int   // octets of a line with its CR LF
	size  int64
	col   int  // octets of the present line so far
	cr    bool // the octet before was CR
	at    lineStart
	fault fault
}

func newGuard(size int64, line int) guard {
	return guard{max: size, line: line, at: afterCRLF}
}

// scan looks at the next octets of the content.
func (g *guard) scan(p []byte) {
	for len(p) > 0 {
		n := g.run(p, false)
		if n == 0 {
			n = g.look(p)
		}
		p = p[n:]
	}
}

// run looks at lines that are as they should be, many at once, and returns how
// many octets that were; with dots it stops before a line that begins with
// one. Zero: what comes next must be looked at. It costs one search a line,
// and that no LF stands alone shows in their number.
func (g *guard) run(p []byte, dots bool) int {
	if g.cr || g.fault != sound {
		return 0
	}
	n, lines, col := 0, 0, g.col
	for {
		i := bytes.IndexByte(p[n:], '\r')
		if i < 0 {
			i = len(p) - n
		}
		if col+i+len("\r\n") > g.line {
			break
		}
		if n+i+1 >= len(p) { // the line has not come to its end
			n, col = n+i, col+i
			break
		}
		if p[n+i+1] != '\n' {
			break
		}
		n, col = n+i+2, 0
		if lines++; n == len(p) || dots && p[n] == '.' {
			break
		}
	}
	if bytes.Count(p[:n], []byte("\n")) != lines {
		g.fail(bareLF)
		return 0
	}
	if n > 0 {
		g.count(p[:n])
		g.col, g.at = col, midLine
		if col == 0 {
			g.at = afterCRLF
		}
	}
	return n
}

// look looks at the octets up to and including the next LF, and returns how
// many that were.
func (g *guard) look(p []byte) int {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		g.count(p)
		g.text(p)
		return len(p)
	}
	g.count(p[:i+1])
	g.text(p[:i])
	g.at = afterCRLF
	if !g.cr {
		g.at = afterLF
		g.fail(bareLF)
	}
	if g.col++; g.col > g.line {
		g.fail(longLine)
	}
	g.col, g.cr = 0, false
	return i + 1
}

// text looks at octets without LF.
func (g *guard) text(p []byte) {
	if len(p) == 0 {
		return
	}
	if g.cr || bytes.IndexByte(p[:len(p)-1], '\r') >= 0 {
		g.fail(bareCR)
	}
	g.cr, g.at = p[len(p)-1] == '\r', midLine
	if g.col += len(p); g.col > g.line {
		g.fail(longLine)
	}
}

// count looks at what can be told without lines.
func (g *guard) count(p []byte) {
	if g.size += int64(len(p)); g.size > g.max {
		g.fail(tooBig)
	}
	if bytes.IndexByte(p, 0) >= 0 {
		g.fail(nul)
	}
}

// end looks at the end of the content.
func (g *guard) end() {
	if g.cr {
		g.fail(bareCR)
	}
}

func (g *guard) fail(f fault) {
	if g.fault == sound {
		g.fault = f
	}
}

// skip reads content that nobody wants up to its end, but not for ever: a
// client that goes on far beyond the limit is cut off.
func (g *guard) skip(next func([]byte) (int, error)) error {
	limit := 2*g.max + largeBuffer
	scratch := make([]byte, 4<<10)
	for {
		_, err := next(scratch)
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case g.size > limit:
			return errTooMuch
		}
	}
}

// dotReader decodes what follows DATA (RFC 5321, section 4.5.2). Read fails
// with a fault as soon as it is found; io.EOF means that the content has ended
// and is sound.
type dotReader struct {
	in    *reader
	guard guard
	done  bool
	err   error // of the connection, or the reply to smuggling
}

func newDotReader(in *reader, size int64, line int) *dotReader {
	return &dotReader{in: in, guard: newGuard(size, line)}
}

// Read implements io.Reader.
func (d *dotReader) Read(p []byte) (int, error) {
	if d.guard.fault != sound {
		return 0, d.guard.fault.reply()
	}
	n, err := d.next(p)
	if d.guard.fault != sound {
		return 0, d.guard.fault.reply()
	}
	return n, err
}

// finish reads to the end of the content. An error is the connection's.
func (d *dotReader) finish() error {
	if d.done {
		return nil
	}
	return d.guard.skip(d.next)
}

// next decodes as much as is at hand, and waits only for the first octet.
func (d *dotReader) next(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if d.done {
			break
		}
		if d.err != nil {
			break
		}
		if len(d.in.buffered()) == 0 {
			if n > 0 {
				return n, nil
			}
			if d.err = unexpected(d.in.fill()); d.err != nil {
				break
			}
		}
		if d.guard.at != midLine && d.dot() {
			continue
		}
		n += d.copy(p[n:])
	}
	switch {
	case n > 0:
		return n, nil
	case d.err != nil:
		return 0, d.err
	case d.done:
		return 0, io.EOF
	}
	return 0, nil
}

// dot deals with a dot at the start of a line and reports whether the end of
// the content, or of the connection, was found.
func (d *dotReader) dot() bool {
	at := d.guard.at
	d.guard.at = midLine
	b := d.in.buffered()
	if b[0] != '.' {
		return false
	}
	if d.err = unexpected(d.in.need(2)); d.err != nil {
		return true
	}
	if d.in.buffered()[1] == '\r' {
		if d.err = unexpected(d.in.need(3)); d.err != nil {
			return true
		}
	}
	b = d.in.buffered()
	strict := b[1] == '\r' && b[2] == '\n'
	switch {
	case strict && at == afterCRLF:
		d.in.advance(3)
		d.done = true
		d.guard.end()
		return true
	case strict || b[1] == '\n':
		d.guard.fail(smuggled)
		d.err = smuggled.reply()
		return true
	case at == afterCRLF:
		d.in.advance(1)
	}
	return false
}

// copy copies lines as they stand, or what must be looked at of one.
func (d *dotReader) copy(p []byte) int {
	b := d.in.buffered()
	b = b[:min(len(b), len(p))]
	n := d.guard.run(b, true)
	if n == 0 {
		n = d.guard.look(b)
	}
	copy(p, b[:n])
	d.in.advance(n)
	return n
}

// unexpected tells the end of the connection from the end of the content.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
