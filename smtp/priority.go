package smtp

import (
	"quorumta/internal/mail"
	fields "quorumta/internal/mail/header"
)

// prioritise has the operator's rules say how urgent a message is. What the
// client said holds where no rule does. A rule that fails has the client try
// again later.
func (s *session) prioritise(t *transaction, head []byte) error {
	if len(t.policy.Priorities) == 0 || !s.server.o.Queue.MayWish() {
		return nil
	}
	facts := s.facts(mail.Address{})
	facts.Header = func() (map[string]string, error) { return fields.Texts(head), nil }
	for _, r := range t.policy.Priorities {
		holds, err := r.If.Eval(facts)
		if err != nil {
			s.server.o.Log.Error("priority rule not evaluated", "rule", r.Name, "client", s.client.IP, "error", err)
			s.server.metrics.refusedFor(s.conn.Context(), "policy_error")
			return policyFailed.reply()
		}
		if holds {
			t.envelope.Priority = r.Priority
			t.addRule(r.Name)
			return nil
		}
	}
	return nil
}
