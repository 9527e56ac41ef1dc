package tlspolicy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quorumta/internal/tlspolicy/dane"
	"quorumta/internal/tlspolicy/mtasts"
	"quorumta/internal/tlspolicy/tlsrpt"
)

// Checker finds out what holds; safe for concurrent use, as are its parts.
type Checker struct {
	// Resolver is asked for TLSA records.
	Resolver dane.Resolver
	// STS tells MTA-STS policies.
	STS *mtasts.Source
	// Count counts sessions for reports; nil: nobody does.
	Count func(tlsrpt.Session)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (c *Checker) now() time.Time {
	if c == nil || c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// Policy makes a policy of a demand. It may have to fetch one of MTA-STS, which
// takes a minute at most. A nil Checker knows the mode alone.
func (c *Checker) Policy(ctx context.Context, d Demand) *Policy {
	if d.Sender == TLSOptional {
		// RFC 8689, section 4.2.2: as if the domain had said nothing.
		d.DANE, d.STS = DANEOff, false
	}
	p := &Policy{Demand: d, checker: c}
	if c == nil {
		p.DANE = DANEOff
		return p
	}
	if d.STS && d.Domain != "" && c.STS != nil {
		answer := c.STS.Policy(ctx, d.Domain)
		p.fault, p.fetched = answer.Err, answer.Fetched
		if answer.Policy != nil && answer.Policy.Mode != mtasts.None {
			p.sts = answer.Policy
		}
	}
	return p
}

// Bogus counts mail for a domain that waits since DNSSEC validation fails for its
// MX or address records; "" is no domain.
func (c *Checker) Bogus(domain string) {
	if c == nil || c.Count == nil || domain == "" {
		return
	}
	c.Count(tlsrpt.Session{
		Domain: domain, Policy: tlsrpt.Policy{Type: tlsrpt.TLSA, Domain: domain},
		Failed: &tlsrpt.Failure{Result: tlsrpt.DNSSECInvalid, Reason: "MX or address records"},
	})
}

// Refusal is why nothing may be sent to a host.
type Refusal struct {
	Text string
	// Final says that it is the sender's demand that cannot be met: waiting
	// changes nothing (RFC 8689, section 4.2.1). Enhanced is the status code.
	Final    bool
	Enhanced string
}

// Host says what a connection to a host must be like. Nothing may be sent to a
// host that is refused.
func (p *Policy) Host(ctx context.Context, host string, port uint16) (*Rule, *Refusal) {
	r := &Rule{policy: p, host: host, level: levels[p.Mode]}
	if err := p.askDANE(ctx, r, port); err != nil {
		r.countRefusal(tlsrpt.Policy{Type: tlsrpt.TLSA, Domain: host}, daneResult(err), err.Error())
		return nil, p.refusal(err.Error())
	}
	if p.DANE == DANERequire && r.dane.Kind != dane.Authenticate {
		text := "DANE is required, and " + host + " has no usable TLSA records"
		if !p.Secure {
			text = "DANE is required, and the MX records of " + p.Domain + " are not secured by DNSSEC"
		}
		r.countRefusal(tlsrpt.Policy{Type: tlsrpt.TLSA, Domain: host}, tlsrpt.DANERequired, text)
		return nil, p.refusal(text)
	}
	if r.dane.Kind != dane.Authenticate && p.enforced() {
		if !p.sts.Allows(host) {
			text := "the MTA-STS policy of " + p.Domain + " does not allow the host " + host
			r.countRefusal(p.stsPolicy(), tlsrpt.ValidationFailure, "host not in the policy")
			return nil, p.refusal(text)
		}
		r.level = max(r.level, verified)
	}
	if p.Sender == RequireTLS {
		if !p.Secure && !(p.sts != nil && p.sts.Allows(host)) {
			return nil, p.refusal("REQUIRETLS is demanded, and nothing vouches for the name of the host " + host)
		}
		r.level = max(r.level, verified)
	}
	return r, nil
}

// askDANE asks what DANE demands of the host, and raises the rule to it.
func (p *Policy) askDANE(ctx context.Context, r *Rule, port uint16) error {
	if p.DANE != DANEOn && p.DANE != DANERequire || !p.Secure {
		return nil
	}
	hop := dane.Hop{Host: r.host, Port: port}
	for _, name := range []string{p.Domain, p.Alias} {
		if name != "" {
			hop.Names = append(hop.Names, name)
		}
	}
	var err error
	if r.dane, err = dane.Find(ctx, p.checker.Resolver, hop); err != nil {
		return err
	}
	switch r.dane.Kind {
	case dane.Authenticate:
		r.level = authenticated
	case dane.Encrypt:
		r.level = max(r.level, encrypted)
	}
	return nil
}

// daneResult is how a report calls a failure of package dane.
func daneResult(err error) tlsrpt.Result {
	var e *dane.Error
	if errors.As(err, &e) {
		return tlsrpt.Result(e.Result)
	}
	return tlsrpt.ValidationFailure
}

func (p *Policy) refusal(text string) *Refusal {
	if p.Sender == RequireTLS {
		return &Refusal{Text: text, Final: true, Enhanced: "5.7.10"}
	}
	return &Refusal{Text: text, Enhanced: "4.7.5"}
}

// stsPolicy is the MTA-STS policy as reports show it.
func (p *Policy) stsPolicy() tlsrpt.Policy {
	out := tlsrpt.Policy{Type: tlsrpt.STS, Domain: p.Domain}
	if p.sts != nil {
		out.Strings, out.MX = p.sts.Lines, p.sts.MX
	}
	return out
}

// tlsaPolicy is the DANE policy as reports show it (RFC 8460, section 4.4).
func (r *Rule) tlsaPolicy() tlsrpt.Policy {
	out := tlsrpt.Policy{Type: tlsrpt.TLSA, Domain: r.dane.Base}
	for _, record := range r.dane.Records {
		out.Strings = append(out.Strings, fmt.Sprintf("%d %d %d %x", record.Usage, record.Selector, record.Matching, record.Data))
	}
	return out
}
