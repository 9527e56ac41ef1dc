package aliases

import (
	"errors"
	"strings"

	"quorumta/internal/mail"
)

// parseAddress reads an address as it stands in a header's field (RFC 5322,
// section 3.4), or without a domain.
func parseAddress(s string) (mail.Address, error) {
	spec := addrSpec(s)
	if spec == "" {
		return mail.Address{}, errors.New("an address is expected")
	}
	at := lastAt(spec)
	switch {
	case at < 0:
		return unqualified(spec)
	case at == 0:
		a, err := mail.ParseAddress("x" + spec)
		return mail.Address{Domain: a.Domain}, err
	}
	return mail.ParseAddress(spec)
}

// unqualified reads a local-part alone.
func unqualified(local string) (mail.Address, error) {
	a, err := mail.ParseAddress(local + "@unqualified.invalid")
	if err == nil && a.Local == "" {
		err = errors.New("the local-part is empty")
	}
	return mail.Address{Local: a.Local}, err
}

// addrSpec is the address without comments and the name before it. White space
// within it is kept, and is an error later: names of people are no addresses.
func addrSpec(s string) string {
	var b strings.Builder
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			if depth == 0 {
				b.WriteString(s[i : i+2])
			}
			i++
			continue
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
			continue
		case c == '<' && depth == 0:
			b.Reset() // what came before was a name
			continue
		case c == '>' && depth == 0:
			return strings.TrimSpace(b.String())
		}
		if depth == 0 {
			b.WriteByte(c)
		}
	}
	return strings.TrimSpace(b.String())
}

// lastAt finds the @ before the domain; -1: there is none.
func lastAt(spec string) int {
	quoted, at := false, -1
	for i := 0; i < len(spec); i++ {
		switch c := spec[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '@' && !quoted:
			at = i
		}
	}
	return at
}
