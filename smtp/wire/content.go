package wire

import (
	"bytes"
	"errors"
	"io"
)

// errTooMuch: a refused message goes on and on; the connection is given up.
var errTooMuch = errors.New("the refused content does not end")

// guard watches content for what must not be in it. The first fault stays.
type guard struct {
	max   int64 // octets of content
	line  int   // octets of a line with its CR LF
	size  int64
	col   int  // octets of the present line so far
	cr    bool // the octet before was CR
	fault fault
}

// scan looks at the next octets of the content.
func (g *guard) scan(p []byte) {
	if g.size += int64(len(p)); g.size > g.max {
		g.fail(tooBig)
	}
	if bytes.IndexByte(p, 0) >= 0 {
		g.fail(nul)
	}
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			g.scanText(p)
			return
		}
		g.scanText(p[:i])
		if !g.cr {
			g.fail(bareLF)
		}
		if g.col++; g.col > g.line {
			g.fail(longLine)
		}
		g.col, g.cr = 0, false
		p = p[i+1:]
	}
}

// scanText looks at octets without LF.
func (g *guard) scanText(p []byte) {
	if len(p) == 0 {
		return
	}
	if g.cr || bytes.IndexByte(p[:len(p)-1], '\r') >= 0 {
		g.fail(bareCR)
	}
	g.cr = p[len(p)-1] == '\r'
	if g.col += len(p); g.col > g.line {
		g.fail(longLine)
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

// lineStart says where the decoder of DATA stands.
type lineStart uint8

const (
	midLine lineStart = iota
	// afterCRLF: a dot here is the transparency's or the end's.
	afterCRLF
	// afterLF: behind a bare LF. A lone dot here ends nothing for us, but may
	// for another server.
	afterLF
)

// dotReader decodes what follows DATA (RFC 5321, section 4.5.2). Read fails
// with a fault as soon as it is found; io.EOF means that the content has ended
// and is sound.
type dotReader struct {
	in    *reader
	guard guard
	at    lineStart
	done  bool
	err   error // of the connection, or the reply to smuggling
}

func newDotReader(in *reader, size int64, line int) *dotReader {
	return &dotReader{in: in, guard: guard{max: size, line: line}, at: afterCRLF}
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
		if d.at != midLine && d.dot() {
			continue
		}
		n += d.copyLine(p[n:])
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
	at := d.at
	d.at = midLine
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

// copyLine copies up to and including the next LF.
func (d *dotReader) copyLine(p []byte) int {
	b := d.in.buffered()
	b = b[:min(len(b), len(p))]
	i := bytes.IndexByte(b, '\n')
	if i >= 0 {
		b = b[:i+1]
	}
	if i == 0 && d.guard.cr || i > 0 && b[i-1] == '\r' {
		d.at = afterCRLF
	} else if i >= 0 {
		d.at = afterLF
	}
	d.guard.scan(b)
	copy(p, b)
	d.in.advance(len(b))
	return len(b)
}

// unexpected tells the end of the connection from the end of the content.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
