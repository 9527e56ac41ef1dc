package policy

import (
	"fmt"

	"quorumta/internal/mail"
)

// Rule decides where its condition holds.
type Rule struct {
	Name string
	If   *Condition
	// Do is the verdict.
	Do Verdict
	// Reply is what the client is told; the zero Reply means the verdict's own.
	Reply mail.Reply
}

// Verdict is what a rule decides.
type Verdict string

// The verdicts.
const (
	Accept Verdict = "accept"
	Reject Verdict = "reject"
	Defer  Verdict = "defer"
)

// Decision is the outcome of a stage: Rule is "" where no rule matched, which
// is a rejection.
type Decision struct {
	Rule  string
	Do    Verdict
	Reply mail.Reply
}

// Decide finds the first rule whose condition holds. An error names the rule.
func Decide(rules []Rule, f *Facts) (Decision, error) {
	for i := range rules {
		rule := &rules[i]
		holds, err := rule.If.Eval(f)
		if err != nil {
			return Decision{}, fmt.Errorf("rule %s: %w", rule.Name, err)
		}
		if holds {
			return Decision{Rule: rule.Name, Do: rule.Do, Reply: rule.reply()}, nil
		}
	}
	return Decision{Do: Reject, Reply: mail.Reply{Code: 550, Enhanced: "5.7.1", Text: "Relaying denied"}}, nil
}

// reply is the rule's own or its verdict's (RFC 3463, X.7.1: delivery not
// authorized).
func (r *Rule) reply() mail.Reply {
	switch {
	case r.Reply != mail.Reply{}:
		return r.Reply
	case r.Do == Reject:
		return mail.Reply{Code: 550, Enhanced: "5.7.1", Text: "Refused by policy"}
	case r.Do == Defer:
		return mail.Reply{Code: 451, Enhanced: "4.7.1", Text: "Deferred by policy, try again later"}
	}
	return mail.Reply{}
}
