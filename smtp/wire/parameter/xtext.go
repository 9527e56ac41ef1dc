package parameter

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// decodeXtext decodes xtext of RFC 3461, section 4: printable ASCII but + and
// =, and any octet as + and two upper-case hexadecimal digits. What comes out
// must be printable ASCII, too, as ENVID and ORCPT want it.
func decodeXtext(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < '!' || c > '~' || c == '=' {
			return "", false
		}
		if c == '+' {
			v, ok := hexPair(s[i+1:])
			if !ok || v < ' ' || v > '~' {
				return "", false
			}
			c = v
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

func hexPair(s string) (byte, bool) {
	const digits = "0123456789ABCDEF"
	if len(s) < 2 {
		return 0, false
	}
	hi, lo := strings.IndexByte(digits, s[0]), strings.IndexByte(digits, s[1])
	return byte(hi<<4 | lo&15), hi >= 0 && lo >= 0
}

// decodeUTF8Xtext decodes utf-8-addr-xtext and utf-8-addr-unitext of RFC 6533,
// section 3: characters stand for themselves, or as \x{HEX}.
func decodeUTF8Xtext(s string) (string, bool) {
	var b strings.Builder
	for s != "" {
		r, size := utf8.DecodeRuneInString(s)
		if r == '\\' {
			if r, size = embedded(s); size == 0 {
				return "", false
			}
		} else if r == '+' || r == '=' || r == ' ' {
			return "", false
		}
		if unicode.IsControl(r) {
			return "", false
		}
		b.WriteRune(r)
		s = s[size:]
	}
	return b.String(), true
}

// embedded reads \x{HEX} with two to six digits; size is 0 where there is none.
func embedded(s string) (r rune, size int) {
	hex, ok := strings.CutPrefix(s, `\x{`)
	end := strings.IndexByte(hex, '}')
	if !ok || end < 2 || end > 6 || strings.ToUpper(hex[:end]) != hex[:end] {
		return 0, 0
	}
	v, err := strconv.ParseUint(hex[:end], 16, 32)
	if err != nil || !utf8.ValidRune(rune(v)) {
		return 0, 0
	}
	return rune(v), len(`\x{`) + end + 1
}
