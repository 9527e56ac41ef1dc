package convert

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// MaxLine is the longest line of content, without its end (RFC 5321, section
// 4.5.3.1.6).
const MaxLine = 998

// Survey is what the parts of a message have.
type Survey struct {
	parts []part
	// size is the message's, in octets.
	size int64
	// EightBit and LongLines say whether the message has octets above 127 in its
	// bodies, and lines that are too long anywhere.
	EightBit, LongLines bool
	// sealedEight and sealedLong: so has what stands around sealed parts.
	sealedEight, sealedLong bool
}

// part is an entity and what was found in it.
type part struct {
	media, encoding string
	leaf, sealed    bool
	// eight: its body has octets above 127; long and longHeader: lines that are
	// too long.
	eight, long, longHeader bool
	// octets are the body's, odd those that quoted-printable makes three of.
	octets, odd int64
}

// surveyor makes a Survey.
type surveyor struct {
	s    *Survey
	line int
}

// Look reads a message to its end. The error may be ErrTooComplex; all others
// are the reader's.
func Look(r io.Reader) (*Survey, error) {
	s := &Survey{}
	count := &counter{r: r}
	w := newWalker(count, &surveyor{s: s})
	for {
		err := w.step()
		if errors.Is(err, io.EOF) {
			s.size = count.n
			return s, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

type counter struct {
	r io.Reader
	n int64
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (v *surveyor) entity(e *entity) {
	p := part{media: e.media, encoding: e.encoding, leaf: e.leaf, sealed: e.sealed}
	for line := range bytes.Lines(e.raw) {
		p.longHeader = p.longHeader || len(bytes.TrimRight(line, "\r\n")) > MaxLine
	}
	v.s.LongLines = v.s.LongLines || p.longHeader
	v.s.parts = append(v.s.parts, p)
}

func (v *surveyor) text(piece []byte, first, _ bool) {
	p := &v.s.parts[len(v.s.parts)-1]
	if first {
		v.line = 0
		p.octets += 2
	}
	v.line += len(piece)
	p.octets += int64(len(piece))
	for _, c := range piece {
		p.eight = p.eight || c >= 0x80
		if c >= 0x7f || c == '=' || c < ' ' {
			p.odd++
		}
	}
	p.long = p.long || v.line > MaxLine
	v.s.EightBit = v.s.EightBit || p.eight
	v.s.LongLines = v.s.LongLines || p.long
}

func (v *surveyor) around(piece []byte, first, _, sealed bool) {
	if first {
		v.line = 0
	}
	v.line += len(piece)
	eight := bytes.ContainsFunc(piece, func(r rune) bool { return r >= 0x80 })
	long := v.line > MaxLine
	v.s.EightBit = v.s.EightBit || eight
	v.s.LongLines = v.s.LongLines || long
	v.s.sealedEight = v.s.sealedEight || sealed && eight
	v.s.sealedLong = v.s.sealedLong || sealed && long
}

func (v *surveyor) end(bool) {}

// Want is what a server does not take, or what is to be repaired.
type Want struct {
	// SevenBit: no octets above 127 in bodies. Lines: none that is too long.
	SevenBit, Lines bool
}

// Why a message stays as it is.
var (
	// ErrSealed: what would have to be changed is signed or encrypted.
	ErrSealed = errors.New("what would have to be converted is signed or encrypted")
	// ErrEncoded: a part has octets that its encoding does not allow.
	ErrEncoded = errors.New("a part is not encoded as it says")
)

// change is what is done to an entity.
type change uint8

const (
	asItIs change = iota
	toQuoted
	toBase64
	// wrapQuoted and wrapBase64 break the lines of what is encoded already.
	wrapQuoted
	wrapBase64
)

// Plan is what is done to each part of a message.
type Plan struct {
	want    Want
	changes []change
	size    int64
}

// Plan says what is to be done; nil where there is nothing. The error says why
// it cannot be done.
func (s *Survey) Plan(w Want) (*Plan, error) {
	if !(w.SevenBit && s.EightBit) && !(w.Lines && s.LongLines) {
		return nil, nil
	}
	if w.SevenBit && s.sealedEight || w.Lines && s.sealedLong {
		return nil, ErrSealed
	}
	p := &Plan{want: w, changes: make([]change, len(s.parts)), size: s.size}
	for i := range s.parts {
		x := &s.parts[i]
		eight, long := w.SevenBit && x.eight, w.Lines && x.long
		if x.sealed && (eight || long || w.Lines && x.longHeader) {
			return nil, ErrSealed
		}
		if !eight && !long || !x.leaf {
			continue
		}
		switch x.encoding {
		case "base64", "quoted-printable":
			if eight {
				return nil, ErrEncoded
			}
			p.changes[i] = wrapBase64
			if x.encoding == "quoted-printable" {
				p.changes[i] = wrapQuoted
			}
			p.size += x.octets / 20
		default:
			p.changes[i] = toBase64
			grown := x.octets/3*4 + x.octets/28
			if strings.HasPrefix(x.media, "text/") {
				p.changes[i] = toQuoted
				grown = x.octets + 2*x.odd
				grown += grown / 20
			}
			p.size += grown - x.octets + 100
		}
	}
	return p, nil
}

// Size is about how long the converted message is, rather more than less, as
// MAIL announces it (RFC 1870, section 5).
func (p *Plan) Size() int64 { return p.size }
