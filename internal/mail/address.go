package mail

import (
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Address is a mailbox (RFC 5321, section 4.1.2; RFC 6531 for UTF-8).
//
// Local is the local-part without its quoting and Domain the domain in lower
// case, an address literal with its brackets. The zero Address is the null
// reverse-path; an address with an empty Domain and Local "postmaster" is the
// reserved <postmaster> of section 4.5.1.
type Address struct {
	Local  string
	Domain string
}

// ErrBadAddress is wrapped by the errors for strings that are no mailbox; they
// say what is wrong in words that a sender can be told.
var ErrBadAddress = errors.New("not a mail address")

// ParseAddress reads a mailbox as it stands between < and >, without them. An
// empty string is the null reverse-path.
func ParseAddress(s string) (Address, error) {
	if s == "" {
		return Address{}, nil
	}
	if strings.EqualFold(s, "postmaster") {
		return Address{Local: "postmaster"}, nil
	}
	return parseMailbox(s)
}

// IsNull reports whether this is the null reverse-path.
func (a Address) IsNull() bool { return a == Address{} }

// String is the mailbox as it stands between < and >, the local-part quoted
// where RFC 5321 wants it.
func (a Address) String() string {
	switch {
	case a.IsNull():
		return ""
	case a.Domain == "":
		return quoteLocal(a.Local)
	}
	return quoteLocal(a.Local) + "@" + a.Domain
}

// ASCII reports whether the address can be used without SMTPUTF8.
func (a Address) ASCII() bool { return isASCII(a.Local) && isASCII(a.Domain) }

// Key is the form under which mail to the same mailbox is counted together:
// local-parts are folded to lower case, although only their host may say that
// case does not matter. It is never used to deliver.
func (a Address) Key() string {
	folded := Address{Local: strings.ToLower(norm.NFC.String(a.Local)), Domain: norm.NFC.String(a.Domain)}
	return folded.String()
}

// Literal is the IP address of an address literal.
func (a Address) Literal() (netip.Addr, bool) {
	inside, ok := strings.CutPrefix(a.Domain, "[")
	if !ok {
		return netip.Addr{}, false
	}
	inside = strings.TrimPrefix(strings.TrimSuffix(inside, "]"), "ipv6:")
	ip, err := netip.ParseAddr(inside)
	return ip, err == nil
}

// HostName is the domain as DNS knows it, its labels in ASCII (RFC 5890). The
// error wraps ErrBadAddress; an address literal has no host name.
func (a Address) HostName() (string, error) {
	if _, ok := a.Literal(); ok || a.Domain == "" {
		return "", bad("it has no domain name")
	}
	profile := idna.New(idna.MapForLookup(), idna.StrictDomainName(false), idna.BidiRule())
	name, err := profile.ToASCII(a.Domain)
	if err != nil {
		return "", bad("the domain is no international domain name")
	}
	return name, nil
}
