package route

import (
	"context"

	"quorumta/internal/mail"
	"quorumta/internal/tlspolicy"
)

// Secure finds out what connections to the target's hosts must be like for a
// message, and has Policy and Key tell: what must not share connections becomes
// a site of its own. It may take a minute.
func (t *Target) Secure(ctx context.Context, c *tlspolicy.Checker, e *mail.Envelope) {
	if len(t.Hosts) == 0 {
		return
	}
	demand := t.Demand
	demand.Mode = tlspolicy.Mode(t.TLS)
	switch {
	case e.RequireTLS && !e.From.IsNull(): // a report must not be lost for it (RFC 8689, section 5)
		demand.Sender = tlspolicy.RequireTLS
	case e.TLSOptional:
		demand.Sender = tlspolicy.TLSOptional
	}
	t.Policy = c.Policy(ctx, demand)
	names := make([]string, len(t.Hosts))
	for i, h := range t.Hosts {
		names[i] = h.Name
	}
	t.Key += t.Policy.Class(names)
}
