package dns

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"
)

// absolute is the name in A-labels, lower case, with a final dot. A text that
// is no domain name is ErrNotFound: no zone will ever hold it.
func absolute(name string) (string, error) {
	ascii := strings.ToLower(strings.TrimSuffix(name, "."))
	for i := range len(ascii) {
		if ascii[i] < 0x80 {
			continue
		}
		var err error
		if ascii, err = idna.Lookup.ToASCII(ascii); err != nil {
			return "", fmt.Errorf("%q is no domain name: %w", name, ErrNotFound)
		}
		break
	}
	labels, ok := dns.IsDomainName(ascii)
	if !ok || labels == 0 || len(ascii) > 253 || strings.HasSuffix(ascii, ".") || strings.ContainsFunc(ascii, odd) {
		return "", fmt.Errorf("%q is no domain name: %w", name, ErrNotFound)
	}
	return ascii + ".", nil
}

// odd are characters that names on the wire may have and those of mail have not;
// the library writes them in another way than it reads them.
func odd(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune("\\\"'();@", c) }

// local answers without a question: literal addresses, with or without the
// brackets of RFC 5321, section 4.1.3, and localhost (RFC 6761, section 6.3).
func local(name string) []netip.Addr {
	literal := name
	if inner, ok := strings.CutPrefix(literal, "["); ok {
		literal = strings.TrimSuffix(inner, "]")
		if len(literal) > 5 && strings.EqualFold(literal[:5], "ipv6:") {
			literal = literal[5:]
		}
	}
	if addr, err := netip.ParseAddr(literal); err == nil {
		return []netip.Addr{addr.Unmap()}
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return nil
}

// Canonical is a name as answers have it: lower case, no final dot, "" for the
// root.
func Canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// unescape undoes the escapes of a master file (RFC 1035, section 5.1), which
// the library writes into texts: \DDD for an octet, \X for a character.
func unescape(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out = append(out, text[i])
			continue
		}
		if i+3 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 10, 8); err == nil {
				out = append(out, byte(n))
				i += 3
				continue
			}
		}
		i++
		out = append(out, text[i])
	}
	return string(out)
}
