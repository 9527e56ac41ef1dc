// Package policy evaluates CEL conditions over what is known of a client, a
// sender, a recipient and a message, and decides by ordered rules.
package policy

import (
	"net/netip"

	"quorumta/internal/mail"
)

// Facts is what conditions see: client.ip, client.name, client.helo,
// client.login, client.tls, client.listener; sender.local, sender.domain,
// sender.address; rcpt.local, rcpt.domain, rcpt.address; message.size,
// message.recipients; nets.NAME and lists.NAME. Domains are in lower case.
type Facts struct {
	ClientIP   netip.Addr
	ClientName string
	Helo       string
	Login      string
	TLS        bool
	Listener   string
	Sender     mail.Address
	Rcpt       mail.Address
	// Size is what the client announced, or the content's; 0 if unknown.
	Size int64
	// Recipients counts those accepted so far.
	Recipients int
}

// Env holds the named nets and lists that conditions may use.
type Env struct{}

// NewEnv makes an environment; it fails where a name is no CEL identifier.
func NewEnv(nets map[string][]netip.Prefix, lists map[string][]string) (*Env, error) {
	panic("policy: NewEnv is not built")
}

// In reports whether the address is in the named net.
func (e *Env) In(addr netip.Addr, net string) bool { panic("policy: In is not built") }

// Condition is a compiled expression of type bool, safe for concurrent use.
type Condition struct{}

// Condition compiles an expression; the empty one is always true. The error
// tells line and column within the expression and what was expected.
func (e *Env) Condition(expr string) (*Condition, error) { panic("policy: Condition is not built") }

// Eval evaluates the condition. An error is a run-time failure, which is never
// to be taken for false (451 4.3.5).
func (c *Condition) Eval(f *Facts) (bool, error) { panic("policy: Eval is not built") }

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
func Decide(rules []Rule, f *Facts) (Decision, error) { panic("policy: Decide is not built") }
