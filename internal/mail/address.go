package mail

import (
	"errors"
	"strings"
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

// ErrBadAddress is returned for a string that is no mailbox.
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
