package mail

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of RFC 5321, section 4.5.3.1, and RFC 1035, section 2.3.4, in octets.
const (
	maxLocal  = 64
	maxDomain = 255
	maxLabel  = 63
)

func bad(why string) error { return fmt.Errorf("%w: %s", ErrBadAddress, why) }

// parseMailbox reads [ A-d-l ":" ] local-part "@" ( domain / address-literal )
// of RFC 5321, section 4.1.2. The source route A-d-l is obsolete and ignored,
// as its appendix C allows.
func parseMailbox(s string) (Address, error) {
	if !utf8.ValidString(s) {
		return Address{}, bad("it is not UTF-8")
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return Address{}, bad("it contains control characters")
	}
	s, err := withoutRoute(s)
	if err != nil {
		return Address{}, err
	}
	local, rest, err := cutLocal(s)
	if err != nil {
		return Address{}, err
	}
	domain, ok := strings.CutPrefix(rest, "@")
	if !ok {
		return Address{}, bad("a @ and a domain are missing")
	}
	if len(local) > maxLocal {
		return Address{}, bad("the part before the @ is longer than 64 octets")
	}
	domain, err = parseDomain(domain)
	if err != nil {
		return Address{}, err
	}
	return Address{Local: local, Domain: domain}, nil
}

// withoutRoute strips "@one,@two:".
func withoutRoute(s string) (string, error) {
	if !strings.HasPrefix(s, "@") {
		return s, nil
	}
	route, mailbox, ok := strings.Cut(s, ":")
	if !ok {
		return "", bad("the part before the @ is missing")
	}
	for hop := range strings.SplitSeq(route, ",") {
		domain, ok := strings.CutPrefix(hop, "@")
		if !ok {
			return "", bad("its source route is malformed")
		}
		if _, err := parseDomain(domain); err != nil {
			return "", err
		}
	}
	return mailbox, nil
}

// cutLocal splits off the local-part, without its quoting.
func cutLocal(s string) (local, rest string, err error) {
	if quoted, ok := strings.CutPrefix(s, `"`); ok {
		return cutQuoted(quoted)
	}
	at := strings.IndexByte(s, '@')
	if at < 0 {
		at = len(s)
	}
	local, rest = s[:at], s[at:]
	if !isDotString(local) {
		return "", "", bad("the part before the @ needs quoting, or is missing")
	}
	return local, rest, nil
}

// cutQuoted reads up to the closing quote.
func cutQuoted(s string) (local, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], nil
		case c == '\\' && i+1 < len(s) && s[i+1] < utf8.RuneSelf:
			i++
			b.WriteByte(s[i])
		case c == '\\':
			return "", "", bad("a backslash is followed by nothing it can quote")
		default:
			b.WriteByte(c)
		}
	}
	return "", "", bad("a closing quote is missing")
}

// isDotString reports whether s is atoms joined by dots (RFC 5321, section
// 4.1.2, with the letters of RFC 6531, section 3.3).
func isDotString(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool { return !isAtext(r) }) {
			return false
		}
	}
	return true
}

func isAtext(r rune) bool {
	switch {
	case r >= utf8.RuneSelf:
		return true
	case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
		return true
	}
	return strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

// quoteLocal is the local-part as it is written: quoted only where it has to
// be (RFC 5321, section 4.1.2).
func quoteLocal(s string) string {
	if isDotString(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// parseDomain reads a domain or an address literal and gives it in lower case.
// Underscores are taken in labels: host names have them, whatever RFC 5321
// says.
func parseDomain(s string) (string, error) {
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	s = strings.ToLower(s)
	if len(s) > maxDomain {
		return "", bad("the domain is longer than 255 octets")
	}
	for label := range strings.SplitSeq(s, ".") {
		if err := checkLabel(label); err != nil {
			return "", err
		}
	}
	return s, nil
}

func checkLabel(label string) error {
	switch {
	case label == "":
		return bad("the domain is missing or has an empty label")
	case len(label) > maxLabel:
		return bad("a label of the domain is longer than 63 octets")
	case label[0] == '-' || label[len(label)-1] == '-':
		return bad("a label of the domain begins or ends with a hyphen")
	case strings.ContainsFunc(label, func(r rune) bool { return !isLabelRune(r) }):
		return bad("the domain contains characters that no host name has")
	}
	return nil
}

func isLabelRune(r rune) bool {
	switch {
	case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r == '-', r == '_':
		return true
	}
	// A letter of RFC 6531, and the marks and digits within words; the rest is
	// for the resolver to judge.
	return r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) || r == '\u200c' || r == '\u200d')
}

// parseLiteral reads "[192.0.2.1]" or "[IPv6:2001:db8::1]" (RFC 5321, section
// 4.1.3). No other tag was ever registered.
func parseLiteral(s string) (string, error) {
	inside, ok := strings.CutSuffix(s[1:], "]")
	if !ok {
		return "", bad("the address literal has no closing bracket")
	}
	const tag = "ipv6:"
	inside = strings.ToLower(inside)
	text, six := strings.CutPrefix(inside, tag)
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || six != ip.Is6() {
		return "", bad("the address literal holds no IP address")
	}
	if six {
		return "[" + tag + ip.String() + "]", nil
	}
	return "[" + ip.String() + "]", nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
