package smtp

import (
	"quorumta/internal/mail"
	"quorumta/internal/rewrite"
)

// rewriteSender has the rules for a place change the envelope's sender.
func (s *session) rewriteSender(in rewrite.Place) error {
	to, err := s.rewritten(s.tx.envelope.From, in)
	if err == nil {
		s.tx.envelope.From = to
	}
	return err
}

// rewriteRecipient has the rules for a place change a recipient. The original
// recipient keeps what the client has said: a report names the address that its
// reader knows (RFC 3461, section 4.2).
func (s *session) rewriteRecipient(r *mail.Recipient, in rewrite.Place) error {
	to, err := s.rewritten(r.Address, in)
	if err != nil || to == r.Address {
		return err
	}
	if r.Original == "" {
		kind := "rfc822;"
		if !r.Address.ASCII() {
			kind = "utf-8;" // RFC 6533, section 3
		}
		r.Original = kind + r.Address.String()
	}
	r.Address = to
	return nil
}

// wanted is a recipient with the reports that are wanted of it.
type wanted struct {
	address mail.Address
	notify  mail.Notify
}

// again reports whether rules have made a recipient, which the client had given
// another address, one that is there already, or the other way round: the message
// goes there once, as Exim has it, unless other reports are wanted of it.
func (t *transaction) again(r *mail.Recipient, given mail.Address) bool {
	if !t.policy.Rewrites.In(rewrite.SMTP | rewrite.EnvelopeTo) {
		return false
	}
	key, changed := wanted{r.Address, r.Notify}, r.Address != given
	before, known := t.named[key]
	if known && (before || changed) {
		return true
	}
	if t.named == nil {
		t.named = map[wanted]bool{}
	}
	t.named[key] = changed
	return false
}

// rewritten is what the rules for a place make of an address. Their names go on
// record with those of the policy. A rule that cannot be used has the client try
// again later, until somebody has mended it.
func (s *session) rewritten(a mail.Address, in rewrite.Place) (mail.Address, error) {
	t := s.tx
	if !t.policy.Rewrites.In(in) {
		return a, nil
	}
	steps, err := t.policy.Rewrites.Rewrite(s.facts(mail.Address{}), a, in, t.envelope.UTF8)
	if err != nil {
		s.server.o.Log.Error("address not rewritten", "client", s.client.IP, "from", t.given.String(), "error", err)
		s.server.metrics.refusedFor(s.conn.Context(), "policy_error")
		return a, policyFailed.reply()
	}
	for _, step := range steps {
		if step.Address != a {
			t.addRule(step.Rule)
		}
		a = step.Address
	}
	return a, nil
}
