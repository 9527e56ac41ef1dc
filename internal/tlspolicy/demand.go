package tlspolicy

import (
	"slices"
	"strings"
	"time"

	"quorumta/internal/tlspolicy/mtasts"
)

// Mode is what TLS a router wants.
type Mode string

// The modes.
const (
	Off Mode = "off"
	// Try uses TLS where it is offered, in the clear otherwise (RFC 7435);
	// certificates are not verified.
	Try Mode = "try"
	// Require sends over TLS only; certificates are not verified.
	Require Mode = "require"
	// Verify sends over TLS only, to a certificate for the host's name.
	Verify Mode = "verify"
)

// Use is what a router does about DANE.
type Use string

// The uses.
const (
	DANEOff Use = "off"
	DANEOn  Use = "on"
	// DANERequire sends only to hosts that have usable TLSA records.
	DANERequire Use = "require"
)

// Sender is what a message's sender demands (RFC 8689).
type Sender uint8

// What senders demand.
const (
	Nothing Sender = 0
	// RequireTLS: only over authenticated TLS, to servers that promise the same
	// (section 4.2.1).
	RequireTLS Sender = 1
	// TLSOptional: what the recipient's domain demands is to be ignored
	// (section 4.2.2).
	TLSOptional Sender = 2
)

// Demand is what is asked of connections to the hosts of a target.
type Demand struct {
	Mode Mode
	// DANE is "" for DANEOff.
	DANE Use
	// STS says that the domain's MTA-STS policy holds.
	STS bool
	// Domain is the next hop's: whose MX records name the hosts (RFC 8461,
	// section 2); "" where the hosts have no domain.
	Domain string
	// Alias is the name at which the MX records stand, where Domain is an alias.
	Alias string
	// Secure says that the names of the hosts can be believed: DNSSEC vouches for
	// the MX records, or the operator has written them.
	Secure bool
	Sender Sender
}

// Policy is what holds for all hosts of a target.
type Policy struct {
	Demand
	checker *Checker
	// sts is the domain's MTA-STS policy; nil: none.
	sts *mtasts.Policy
	// fetched is when the policy was, also one that demands nothing.
	fetched time.Time
	// fault is why there is none, or no newer one, though one was announced.
	fault error
}

// Only is the policy of a mode alone.
func Only(mode Mode) *Policy { return &Policy{Demand: Demand{Mode: mode}} }

// enforced reports whether MTA-STS forbids anything.
func (p *Policy) enforced() bool { return p.sts != nil && p.sts.Mode == mtasts.Enforce }

// Class tells apart what must not share a connection, among targets of the same
// names and Mode: what one demands may be more than what another has got. It is
// "" where there is nothing to tell apart.
func (p *Policy) Class(hosts []string) string {
	var words []string
	switch p.Sender {
	case RequireTLS:
		words = append(words, "requiretls")
	case TLSOptional:
		return " tls-optional"
	}
	switch {
	case p.DANE == DANERequire && !p.Secure:
		words = append(words, "dane-impossible")
	case p.DANE == DANERequire:
		words = append(words, "dane-require")
	case p.DANE == DANEOn && p.Secure:
		words = append(words, "dane")
	}
	if p.enforced() || p.sts != nil && p.Sender == RequireTLS {
		words = append(words, "sts")
		var foreign []string
		for _, host := range hosts {
			if !p.sts.Allows(host) && !slices.Contains(foreign, host) {
				foreign = append(foreign, host)
			}
		}
		slices.Sort(foreign)
		for _, host := range foreign {
			words = append(words, "not:"+host)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return " " + strings.Join(words, " ")
}
