package outcome

import (
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// freezes reports whether recipients that fail keep the message, for an operator
// to look at. A message that is held fails only because that was for too long.
func (s *settlement) freezes() bool {
	m := s.a.Message
	return s.Freeze.Reports && !m.Held && m.Accepted.Envelope.From.IsNull() && s.now.Sub(m.At) < s.Freeze.IgnoreAfter
}

// frozen is what is recorded in place of a failure that nobody would hear of. The
// message is to be held then, which is a group of its own: somebody may hold it
// already.
func (s *settlement) frozen(verdicts []Verdict) Facts {
	var o Facts
	for _, g := range collect(verdicts) {
		claimed := true
		if g.What == Doubted {
			o.Events = append(o.Events, s.doubt(g))
			claimed = false
		}
		o.Events = append(o.Events, &event.Deferred{
			Recipients: g.recipients, Attempt: s.attempt(g.Verdict, claimed), Error: g.Kind, Due: s.now.Add(RestAfterFault),
		})
		reply := g.Reply.Text
		if g.Reply.Code != 0 {
			reply = g.Reply.String()
		}
		o.Hold = "it fails, and has no sender to be told: " + reply
	}
	return o
}

// Late are the verdicts on what is open of a message that was held for too long.
func Late(m *state.Message) []Verdict {
	var verdicts []Verdict
	for i := range m.Recipients {
		r := &m.Recipients[i]
		if r.Phase != state.Pending {
			continue
		}
		v := Verdict{Recipient: uint32(i), What: Failed, Kind: r.Error, Reply: r.Reply}
		if v.Kind == event.ErrorNone {
			v.Kind, v.Reply = event.ErrorInternal, mail.Reply{Enhanced: "5.4.7", Text: "it was held for too long"}
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}
