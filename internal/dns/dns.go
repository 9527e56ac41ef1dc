// Package dns asks recursive resolvers for what a mail relay needs: mail
// exchangers and addresses. Its errors tell apart what ends a message (a name
// that does not exist, a null MX) from what only delays it.
//
// Names are always taken as absolute: no search list, no hosts file. Literal
// addresses and localhost are answered without a question. There is no
// validation of DNSSEC here.
package dns

import "errors"

// What a look-up can come to beside an answer. All but ErrTemporary are
// answers of the zone itself and may end a message.
var (
	// ErrNotFound is NXDOMAIN: the name does not exist, or can never exist.
	ErrNotFound = errors.New("no such domain")
	// ErrNoData means that the name exists without records of the type.
	ErrNoData = errors.New("no records of this type")
	// ErrNullMX means that the domain takes no mail (RFC 7505).
	ErrNullMX = errors.New("domain takes no mail (null MX)")
	// ErrTemporary is SERVFAIL, a refusal, a time-out or an unreadable answer
	// of every server: ask again later.
	ErrTemporary = errors.New("temporary DNS failure")
)

// MX is a mail exchanger: Host in lower case A-labels without a final dot.
type MX struct {
	Host       string
	Preference uint16
}
