package local

import (
	"strings"
	"unicode/utf8"
)

// Clean is what another program has said, without what must not reach a log or a
// report: control characters but the ends of lines, and what is no UTF-8.
func Clean(s string) string {
	clean := strings.Map(func(r rune) rune {
		if r != '\n' && r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, strings.ReplaceAll(s, "\r\n", "\n"))
	return strings.TrimRight(clean, "\n")
}
