package route

import (
	"errors"
	"net/netip"

	"quorumta/delivery/egress"
	"quorumta/internal/dns"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/internal/tlspolicy"
)

// Kind is what a Decision does with a recipient.
type Kind uint8

// The kinds of decisions.
const (
	// Deliver sends the message to the Target.
	Deliver Kind = 1
	// Fail ends the recipient with Reply.
	Fail Kind = 2
	// Defer routes again later; Reply says why.
	Defer Kind = 3
	// Expand puts others in the recipient's place.
	Expand Kind = 4
	// A router that declines, or passes, leaves the decision to others.
	decline Kind = 100
	pass    Kind = 101
)

// Decision is where a recipient's mail goes, or why it goes nowhere.
type Decision struct {
	Kind Kind
	// Router is the one that decided; "" where none took the recipient.
	Router string
	// Target is set for Deliver.
	Target Target
	// Reply is set for Fail and Defer; it is our own, not a remote server's.
	Reply mail.Reply
	// Into are those of Expand; where there are none, the mail is thrown away.
	Into []Child
	// Handling is what the router says for the transport and for reports, of a
	// recipient that is delivered or of those in its place.
	Handling mail.Handling
	// Bogus is set for Defer: the domain about which the DNS has answers that fail
	// DNSSEC validation. Its owner may want to know.
	Bogus string
	// Steps are what each router said, where the Request asked for it.
	Steps []Step
}

// Child is a recipient in the place of another.
type Child struct {
	Address mail.Address
	// Item is "|command" or "/file" instead of an address.
	Item string
	// Self is the recipient itself, for whom routing goes on.
	Self bool
}

// Step is what a router said of a recipient.
type Step struct {
	Router string `json:"router"`
	// Verdict is skipped, declined, passed, deferred, failed, expanded or
	// accepted.
	Verdict string `json:"verdict"`
	Why     string `json:"why,omitempty"`
}

// Request is a recipient to be routed.
type Request struct {
	// Facts are what conditions and expressions see.
	Facts *policy.Facts
	// Hosts are those of an operator's Rerouted: they win over all routers.
	Hosts []string
	// Ancestors are those in whose place the recipient is, nearest first.
	Ancestors []Ancestor
	// Item is the recipient's "|command" or "/file"; "" for an address.
	Item string
	// Explain asks for the Decision's Steps.
	Explain bool
}

// Ancestor is a recipient that was expanded, and by which router.
type Ancestor struct {
	Address mail.Address
	Router  string
}

// Target is a site: hosts that are as good as each other or stand in for each
// other, and how to talk to them.
type Target struct {
	// Key names the site: equal keys share connections and limits. It is made
	// of names, ports, preferences, TLS and transport, not of addresses.
	Key string
	// Hosts are in the order to be tried, at least one, but for a Transport that
	// needs none. A name with several addresses has several entries, IPv6 first.
	Hosts []Host
	TLS   TLSMode
	// Demand is what TLS must be like beside its Mode, which is TLS, and Policy
	// what came of it; nil: TLS alone counts.
	Demand tlspolicy.Demand
	Policy *tlspolicy.Policy
	// Transport is the name of one of the configuration, or "smtp".
	Transport string
	// Way is how the mail leaves; nil leaves it to the system. Its key is part
	// of Key.
	Way *egress.Way
	// Named says that the operator has named the hosts.
	Named bool
	// Trace says that the hosts are trusted with the context of our trace.
	Trace bool
}

// Host is one address of a host.
type Host struct {
	// Name is what TLS verifies and logs show; an address literal's is the
	// address itself.
	Name string
	Addr netip.Addr
	Port uint16
	// Group is ascending; hosts of one group are equally preferred.
	Group int
}

// At is the address and the port.
func At(h Host) netip.AddrPort { return netip.AddrPortFrom(h.Addr, h.Port) }

// TLSMode is what TLS a target wants.
type TLSMode string

// The modes.
const (
	TLSOff TLSMode = "off"
	// TLSTry uses TLS where it is offered, in the clear otherwise (RFC 7435);
	// certificates are not verified.
	TLSTry TLSMode = "try"
	// TLSRequire sends over TLS only; certificates are not verified.
	TLSRequire TLSMode = "require"
	// TLSVerify sends over TLS only, to a certificate for Host.Name.
	TLSVerify TLSMode = "verify"
)

func deferred(router, enhanced, text string) Decision {
	return Decision{Kind: Defer, Router: router, Reply: mail.Reply{Code: 451, Enhanced: enhanced, Text: text}}
}

// bogus notes in a decision why a domain's hosts are not known.
func (d Decision) bogus(domain string, err error) Decision {
	if errors.Is(err, dns.ErrBogus) {
		d.Bogus = canonical(domain)
	}
	return d
}

func failed(router string, code int, enhanced, text string) Decision {
	return Decision{Kind: Fail, Router: router, Reply: mail.Reply{Code: code, Enhanced: enhanced, Text: text}}
}
