package tlspolicy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"quorumta/internal/tlspolicy/dane"
)

// Reason is what a connection to a host must be like, and why.
type Reason struct {
	// Needs is plain, opportunistic, encrypted, verified or dane; "" where nothing
	// may be sent, as Refused says.
	Needs   string `json:"needs,omitempty"`
	Refused string `json:"refused,omitempty"`
	// Why is what each that has a say demands, or why it demands nothing.
	Why []string `json:"why"`
}

// needs are the words for levels.
var needs = map[level]string{
	plain: "plain", opportunistic: "opportunistic", encrypted: "encrypted", verified: "verified", authenticated: "dane",
}

// Explain is what Host decides, and why; nothing of it is counted. It may ask for
// TLSA records.
func (p *Policy) Explain(ctx context.Context, host string, port uint16) Reason {
	quiet := *p
	if p.checker != nil {
		c := *p.checker
		c.Count = nil
		quiet.checker = &c
	}
	out := Reason{Why: []string{"tls: " + string(p.Mode)}}
	rule, refusal := quiet.Host(ctx, host, port)
	switch {
	case refusal != nil:
		out.Refused = refusal.Text
		out.Why = append(out.Why, quiet.whyDANE(nil))
	default:
		out.Needs = needs[rule.level]
		out.Why = append(out.Why, quiet.whyDANE(&rule.dane))
	}
	out.Why = append(out.Why, quiet.whySTS(host))
	switch p.Sender {
	case RequireTLS:
		out.Why = append(out.Why, "the sender demands REQUIRETLS")
	case TLSOptional:
		out.Why = append(out.Why, "TLS-Required: No, what the domain demands is ignored")
	}
	return out
}

// whyDANE says what became of DANE; found is nil where the host was refused.
func (p *Policy) whyDANE(found *dane.Policy) string {
	text := "DANE: " + string(p.DANE)
	switch {
	case p.DANE == "", p.DANE == DANEOff:
		return "DANE: off"
	case !p.Secure:
		return text + ", not asked: the names of the hosts are not secured by DNSSEC"
	case found != nil && found.Reason != "":
		text += ", " + found.Reason
	}
	return text
}

// whySTS says what became of MTA-STS.
func (p *Policy) whySTS(host string) string {
	if !p.STS || p.Domain == "" {
		return "MTA-STS: off"
	}
	text := "MTA-STS: " + p.Domain + " has no policy"
	if p.sts != nil {
		allows := "allows"
		if !p.sts.Allows(host) {
			allows = "does not allow"
		}
		text = fmt.Sprintf("MTA-STS: %s has a policy of mode %s, fetched %s ago, for %s, which %s the host",
			p.Domain, p.sts.Mode, p.age(), strings.Join(p.sts.MX, " "), allows)
	} else if !p.fetched.IsZero() {
		text = fmt.Sprintf("MTA-STS: %s has a policy of mode none, fetched %s ago", p.Domain, p.age())
	}
	if p.fault != nil {
		text += " (" + p.fault.Error() + ")"
	}
	return text
}

func (p *Policy) age() time.Duration { return p.checker.now().Sub(p.fetched).Truncate(time.Second) }
