package rewrite

import (
	"errors"
	"fmt"
	netmail "net/mail"
	"strings"

	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

// Place is a set of places where addresses stand.
type Place uint16

// The places. SMTP is MAIL and RCPT before the policy has judged them; the
// envelope is what comes of them afterwards.
const (
	From Place = 1 << iota
	Sender
	ReplyTo
	To
	Cc
	Bcc
	EnvelopeFrom
	EnvelopeTo
	SMTP

	Headers  = From | Sender | ReplyTo | To | Cc | Bcc
	Envelope = EnvelopeFrom | EnvelopeTo
)

// Named is a place with its name in the configuration.
type Named struct {
	Name  string
	Place Place
}

// Places are the single places.
func Places() []Named {
	return []Named{
		{"from", From}, {"sender", Sender}, {"reply_to", ReplyTo}, {"to", To}, {"cc", Cc}, {"bcc", Bcc},
		{"envelope_from", EnvelopeFrom}, {"envelope_to", EnvelopeTo}, {"smtp", SMTP},
	}
}

// ParsePlaces makes a set of names; none mean the headers and the envelope. The
// names headers and envelope stand for several. An unknown one stands for
// nothing.
func ParsePlaces(names []string) Place {
	if len(names) == 0 {
		return Headers | Envelope
	}
	var all Place
	for _, name := range names {
		switch name {
		case "headers":
			all |= Headers
		case "envelope":
			all |= Envelope
		}
		for _, p := range Places() {
			if p.Name == name {
				all |= p.Place
			}
		}
	}
	return all
}

// Rule is one rule; safe for concurrent use.
type Rule struct {
	Name string
	// If is nil or the condition under which it fits.
	If *policy.AddressCondition
	// To makes the new address; nil, or "" as its result, leaves the old one.
	To *policy.AddressText
	In Place
	// Whole: what To makes has a display name too, which takes the place of the
	// one in the header.
	Whole bool
	// Repeat: the rule is asked again about what it has made, as long as it fits,
	// and ten times at most.
	Repeat bool
	// Stop: rules behind it are not asked when it has fitted.
	Stop bool
}

// Rules are asked in their order. Nil changes nothing.
type Rules []Rule

// In reports whether any rule is for one of the places.
func (rules Rules) In(p Place) bool {
	for i := range rules {
		if rules[i].In&p != 0 {
			return true
		}
	}
	return false
}

// Step is a rule that fitted, and what the address was after it.
type Step struct {
	Rule    string
	Address mail.Address
	// Phrase is the display name that the rule has made; nil for none.
	Phrase *string
}

// Error is a rule that cannot be used for an address. Whatever it was asked for
// waits until it has been mended.
type Error struct {
	Rule    string
	Address mail.Address
	Err     error
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("rewrite rule %s, %s: %v", e.Rule, e.Address, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// repeats is how often a rule is asked again, as in Exim.
const repeats = 10

// Rewrite asks the rules for a place about an address. The steps are in order,
// none if no rule fitted; the last has the new address. utf8 says that there may
// be UTF-8 in it (RFC 6531). The null address is left alone, and only as the
// envelope's sender an address becomes it, by "<>". The error is an *Error.
func (rules Rules) Rewrite(f *policy.Facts, a mail.Address, in Place, utf8 bool) ([]Step, error) {
	var steps []Step
	now := policy.AddressFacts{Facts: f, Address: a}
	for i := range rules {
		r := &rules[i]
		fitted := false
		for n := 0; r.In&in != 0 && n <= repeats && !now.Address.IsNull(); n++ {
			step, ok, err := r.apply(&now, in, utf8)
			if err != nil {
				return nil, &Error{Rule: r.Name, Address: now.Address, Err: err}
			}
			if !ok {
				break
			}
			fitted = true
			settled := step.Address == now.Address && n > 0
			if !settled {
				steps = append(steps, step)
			}
			if settled || !r.Repeat {
				break
			}
			now.Address = step.Address
		}
		if len(steps) > 0 {
			now.Address = steps[len(steps)-1].Address
		}
		if fitted && r.Stop {
			break
		}
	}
	return steps, nil
}

// apply makes the step of one rule; false where it does not fit.
func (r *Rule) apply(f *policy.AddressFacts, in Place, utf8 bool) (Step, bool, error) {
	step := Step{Rule: r.Name, Address: f.Address}
	holds, err := r.If.Eval(f)
	if err != nil || !holds || r.To == nil {
		return step, holds, err
	}
	text, err := r.To.Eval(f)
	text = strings.TrimSpace(text)
	switch {
	case err != nil || text == "":
		return step, true, err
	case text == "<>" && in == EnvelopeFrom:
		step.Address = mail.Address{}
		return step, true, nil
	case r.Whole:
		step.Address, step.Phrase, err = parseWhole(text)
	default:
		step.Address, err = parse(text, f.Address)
	}
	if err == nil && !utf8 {
		step.Address, err = ascii(step.Address)
	}
	if err != nil {
		err = fmt.Errorf("its result %q: %w", text, err)
	}
	return step, true, err
}

// errNoDomain: addresses are never completed.
var errNoDomain = errors.New("it has no domain")

// parse reads a result. The local-part of an address is given to expressions
// without its quotes: those that the old one needed are put around what is left
// of the last @.
func parse(text string, old mail.Address) (mail.Address, error) {
	a, err := mail.ParseAddress(text)
	if at := strings.LastIndexByte(text, '@'); err != nil && at > 0 && strings.HasPrefix(old.String(), `"`) {
		a, err = mail.ParseAddress(mail.Address{Local: text[:at], Domain: text[at+1:]}.String())
	}
	if err == nil && a.Domain == "" {
		err = errNoDomain
	}
	return a, err
}

// maxWhole is the longest mailbox that is put into a header: it stands in one
// line (RFC 5322, section 2.1.1).
const maxWhole = 900

// parseWhole reads a mailbox with a display name (RFC 5322, section 3.4).
func parseWhole(text string) (mail.Address, *string, error) {
	m, err := netmail.ParseAddress(text)
	if err != nil {
		return mail.Address{}, nil, err
	}
	if len(m.String()) > maxWhole {
		return mail.Address{}, nil, errors.New("it is too long for a line")
	}
	a, err := mail.ParseAddress(m.Address)
	if at := strings.LastIndexByte(m.Address, '@'); err != nil && at > 0 {
		a, err = mail.ParseAddress(mail.Address{Local: m.Address[:at], Domain: m.Address[at+1:]}.String())
	}
	return a, &m.Name, err
}

// ascii is an address for a message without SMTPUTF8.
func ascii(a mail.Address) (mail.Address, error) {
	if a.ASCII() {
		return a, nil
	}
	domain, err := a.HostName()
	if err != nil {
		return a, err
	}
	if a.Domain = domain; !a.ASCII() {
		return a, errors.New("it needs SMTPUTF8, which the message was not sent with")
	}
	return a, nil
}
