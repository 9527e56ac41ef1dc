package dsn

import (
	"net/netip"
	"strings"

	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/queue/state"
)

// Rules are the operator's word on which reports are made, and in which words.
type Rules struct {
	// Suppress are reasons not to make a report: the first that holds. It keeps
	// reports from people whose address was forged (RFC 5321, section 6.2).
	Suppress []Rule
	// WarnIf is when a sender is told of a delay; nil: of what is not bulk mail.
	WarnIf *policy.ReportCondition
	// Languages choose the words: the first that holds. Without one it is the
	// message's own language, if there are words for it.
	Languages []Rule
}

// Rule is a condition with a name.
type Rule struct {
	Name string
	If   *policy.ReportCondition
	// Use names the words, for Languages.
	Use string
}

// Addressee is who is told about the n-th recipient, of which routers have said
// something: the reverse-path that its mail goes out with, or, where the message
// has no sender, the postmaster. It is the null Address where nobody is: a report
// never goes to a null reverse-path (RFC 5321, section 6.1), and what fails at the
// postmaster ends there.
func (b *Builder) Addressee(kind Kind, m *state.Message, n int, said mail.Handling) mail.Address {
	sender := m.Accepted.Envelope.From
	if !sender.IsNull() {
		return said.ReturnPath(sender)
	}
	if kind == Failure && b.DoubleBounces && m.Recipients[n].Address != b.Postmaster {
		return b.Postmaster
	}
	return mail.Address{}
}

// wanted reports whether a recipient stands in the report: by NOTIFY, and by the
// operator's rules. Where these cannot tell, it does.
func (r *report) wanted(s Status) bool {
	if !r.asked(s) {
		return false
	}
	facts := r.facts(s)
	for _, rule := range r.Rules.Suppress {
		holds, err := rule.If.Eval(facts)
		if err != nil {
			r.log().Warn("a rule on reports fails: the report is made", "rule", rule.Name, "id", r.m.Accepted.ID, "error", err)
		} else if holds {
			r.log().Info("report suppressed", "rule", rule.Name, "id", r.m.Accepted.ID, "to", r.to.String(), "report", r.kind.String())
			return false
		}
	}
	if r.kind != Delay {
		return true
	}
	if r.Rules.WarnIf == nil {
		return !facts.Bulk()
	}
	holds, err := r.Rules.WarnIf.Eval(facts)
	if err != nil {
		r.log().Warn("dsn.warn_if fails: the sender is told of the delay", "id", r.m.Accepted.ID, "error", err)
	}
	return holds || err != nil
}

// asked reports whether NOTIFY wants a recipient in the report.
func (r *report) asked(s Status) bool {
	return r.double() || r.m.Recipients[s.N].Notify.Wants(r.kind.notify())
}

// facts are what conditions see of a recipient.
func (r *report) facts(s Status) *policy.ReportFacts {
	a := &r.m.Accepted
	ip, err := netip.ParseAddr(a.Client.IP)
	if err != nil {
		ip = netip.Addr{} // our own reports have no client
	}
	return &policy.ReportFacts{
		Facts: policy.Facts{
			ClientIP: ip, ClientName: a.Client.Name, Helo: a.Client.Helo, Login: a.Client.Login, Listener: a.Client.Listener,
			Sender: a.Envelope.From, Rcpt: r.m.Recipients[s.N].Address, Size: a.Size,
		},
		Age: r.now.Sub(r.m.At), Header: r.header, Report: r.kind.String(),
		Error: s.Error.String(), Code: s.Reply.Code, Text: s.Reply.Text,
	}
}

// language names the words for the report.
func (r *report) language() string {
	facts := r.facts(r.rcpts[0])
	for _, rule := range r.Rules.Languages {
		holds, err := rule.If.Eval(facts)
		if err != nil {
			r.log().Warn("a rule on the language of reports fails", "rule", rule.Name, "id", r.m.Accepted.ID, "error", err)
		} else if holds {
			return rule.Use
		}
	}
	// Language tags, as "de-AT, en" (RFC 3282, section 2).
	for tag := range strings.SplitSeq(r.header["content-language"], ",") {
		primary, _, _ := strings.Cut(strings.TrimSpace(tag), "-")
		if r.set.Has(primary) {
			return primary
		}
	}
	return fallback
}
