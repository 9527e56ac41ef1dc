// Package canon brings headers and bodies into the forms that DKIM and ARC
// hash (RFC 6376, section 3.4), while they stream.
package canon

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"strings"

	"quorumta/internal/mail/header"
)

// Form is a canonicalisation algorithm's name.
type Form string

// The forms of RFC 6376, section 3.4.
const (
	Simple  Form = "simple"
	Relaxed Form = "relaxed"
)

// Pair is a form for the header and one for the body.
type Pair struct{ Header, Body Form }

// ParsePair reads the value of a tag c= (RFC 6376, section 3.5); an absent
// form is simple.
func ParsePair(s string) (Pair, bool) {
	h, b, _ := strings.Cut(s, "/")
	p := Pair{Form(h), Form(b)}
	if h == "" {
		p.Header = Simple
	}
	if b == "" {
		p.Body = Simple
	}
	return p, p.Header.known() && p.Body.known()
}

// String is the value of a tag c=.
func (p Pair) String() string { return string(p.Header) + "/" + string(p.Body) }

func (f Form) known() bool { return f == Simple || f == Relaxed }

// Field is a header field in the form, with its CRLF (sections 3.4.1, 3.4.2).
func (f Form) Field(field header.Field) string {
	if f == Simple {
		return string(field)
	}
	name, value, _ := strings.Cut(string(field), ":")
	var b strings.Builder
	b.Grow(len(field))
	b.WriteString(strings.ToLower(strings.TrimRight(name, " \t")))
	b.WriteByte(':')
	white := false
	start := b.Len()
	for i := range len(value) {
		switch c := value[i]; c {
		case ' ', '\t':
			white = true
		case '\r', '\n': // a fold: the white space after it counts
		default:
			if white && b.Len() > start {
				b.WriteByte(' ')
			}
			white = false
			b.WriteByte(c)
		}
	}
	b.WriteString("\r\n")
	return b.String()
}

// Body hashes a body, written in pieces of any size, by SHA-256.
type Body struct {
	form Form
	sum  hash.Hash
	out  []byte
	// ends are line ends, white and cr what stands before the next octet but
	// has not been hashed, since it may be the end of the body, or of a line.
	ends      int
	white, cr bool
	// some: an octet was hashed.
	some bool
}

// outSize is how much is hashed at a time.
const outSize = 4 << 10

// NewBody makes a Body of the form.
func NewBody(f Form) *Body {
	return &Body{form: f, sum: sha256.New(), out: make([]byte, 0, outSize)}
}

// Write takes the next octets; it does not fail.
func (b *Body) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		switch c := p[0]; {
		case c == '\r':
			if b.cr {
				b.text([]byte("\r")) // a bare one is text
			}
			b.cr = true
			p = p[1:]
		case c == '\n' && b.cr:
			b.cr, b.white = false, false
			b.ends++
			p = p[1:]
		case (c == ' ' || c == '\t') && b.form == Relaxed:
			b.bareCR()
			b.white = true
			p = p[1:]
		default:
			b.bareCR()
			k := b.run(p)
			b.text(p[:k])
			p = p[k:]
		}
	}
	return n, nil
}

// bareCR turns a CR that no LF follows into text.
func (b *Body) bareCR() {
	if b.cr {
		b.cr = false
		b.text([]byte("\r"))
	}
}

// run is how many octets of p, at least one, are hashed as they are.
func (b *Body) run(p []byte) int {
	if b.form == Simple {
		if i := bytes.IndexByte(p, '\r'); i > 0 {
			return i
		}
		return len(p)
	}
	for i := 1; i < len(p); i++ {
		switch c := p[i]; {
		case c > ' ':
		case c == '\r' || c == '\t':
			return i
		case c == ' ' && (i+1 == len(p) || p[i+1] <= ' '):
			return i
		}
	}
	return len(p)
}

// text hashes what was held back, and a text after it.
func (b *Body) text(p []byte) {
	for ; b.ends > 0; b.ends-- {
		b.put([]byte("\r\n"))
	}
	if b.white {
		b.white = false
		b.put([]byte(" "))
	}
	b.put(p)
}

func (b *Body) put(p []byte) {
	if len(p) > 0 {
		b.some = true
	}
	if len(b.out)+len(p) > outSize {
		b.sum.Write(b.out)
		b.out = b.out[:0]
		if len(p) > outSize {
			b.sum.Write(p)
			return
		}
	}
	b.out = append(b.out, p...)
}

// Sum ends the body: empty lines at its end are ignored, its last line ends
// with CRLF; an empty body is a CRLF in the simple form and nothing in the
// relaxed one (sections 3.4.3, 3.4.4).
func (b *Body) Sum() []byte {
	b.bareCR()
	b.ends, b.white = 0, false
	if b.some || b.form == Simple {
		b.put([]byte("\r\n"))
	}
	b.sum.Write(b.out)
	b.out = b.out[:0]
	return b.sum.Sum(nil)
}
