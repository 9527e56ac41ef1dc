// Package dns asks recursive resolvers for what a mail relay needs: mail
// exchangers, addresses, and the records that tell how to reach them securely.
// Its errors tell apart what ends a message (a name that does not exist, a
// null MX) from what only delays it.
//
// Names are always taken as absolute: no search list, no hosts file. Literal
// addresses and localhost are answered without a question.
//
// DNSSEC is validated by the recursive resolver, not here. Every answer has an
// Origin that says whether a resolver that is trusted has validated it: one on
// a loopback address, as nobody can change its answers on their way, or any
// where Options.Trust says so. What such a resolver finds forged it answers
// with SERVFAIL, so that it is ErrTemporary and never "insecure".
//
// Answers are remembered for their time to live, within bounds, and not a
// moment longer: an answer that has ended is not given out while servers are
// silent (RFC 8767), for mail can wait, and one that is sent by it cannot be
// called back. Popular ones are asked for again before they end. A question is
// under way once, whoever asks; zones from files come before servers.
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
	// ErrNoService means that the service is decidedly not offered (RFC 2782,
	// a target of ".").
	ErrNoService = errors.New("service is not offered (SRV target is the root)")
	// ErrTemporary is SERVFAIL, a refusal, a time-out or an unreadable answer
	// of every server: ask again later.
	ErrTemporary = errors.New("temporary DNS failure")
	// ErrBogus is beside ErrTemporary where a trusted server has an answer that
	// fails validation (RFC 4033, section 5): forged, or signed wrongly.
	ErrBogus = errors.New("the answer fails DNSSEC validation")
)

// Reason says for people why a look-up came to ErrTemporary.
func Reason(err error) string {
	if errors.Is(err, ErrBogus) {
		return "DNSSEC validation fails"
	}
	return "the name servers do not answer"
}

// MX is a mail exchanger: Host in lower case A-labels without a final dot.
type MX struct {
	Host       string
	Preference uint16
}

// SRV is where a service is offered (RFC 2782): Target as in MX. A lower
// Priority is tried first; Weight is the share among equal priorities.
type SRV struct {
	Target                 string
	Port, Priority, Weight uint16
}

// TLSA is what a server's certificate is matched against (RFC 6698, section
// 2.1).
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// Origin is where an answer was found, and whether it can be believed. Beside
// ErrNoData and ErrNotFound it says so of the answer that there is nothing.
type Origin struct {
	// Name is where the records stand: the end of the chain of aliases, or the
	// name that was asked for; lower case without a final dot.
	Name string
	// Secure means that the whole answer, with all aliases on the way, was
	// validated by DNSSEC ("secure" in RFC 4033, section 5). Otherwise it is
	// "insecure", or nobody who is trusted has looked.
	Secure bool
}

// Trust says whose word is taken for it that an answer was validated.
type Trust uint8

// The ways to trust; the zero value trusts resolvers on this machine.
const (
	TrustLoopback Trust = 0
	TrustAll      Trust = 1
	TrustNone     Trust = 2
)
