package mail

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrBadXText is returned for a string that is not xtext, or that hides
// control characters.
var ErrBadXText = errors.New("not xtext: printable ASCII with +XX for the rest is expected")

const upperHex = "0123456789ABCDEF"

// XText encodes s for ENVID and ORCPT (RFC 3461, section 4).
func XText(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; isXChar(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'+', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return b.String()
}

// ParseXText decodes xtext. What it decodes to goes into the header fields of
// reports, so control characters are refused, and so is what is not UTF-8.
func ParseXText(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case isXChar(c):
			b.WriteByte(c)
			continue
		case c != '+' || i+2 >= len(s):
			return "", ErrBadXText
		}
		hi, lo := hexValue(s[i+1]), hexValue(s[i+2])
		if hi < 0 || lo < 0 {
			return "", ErrBadXText
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	text := b.String()
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return "", ErrBadXText
	}
	return text, nil
}

// isXChar reports whether c stands for itself.
func isXChar(c byte) bool { return c >= '!' && c <= '~' && c != '+' && c != '=' }

// hexValue takes lower case as well, which RFC 3461 does not, but senders do.
func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
