package admin

import (
	"encoding/hex"
	"fmt"
	"time"

	"quorumta/internal/admin/api"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// phases are the names of state.Phase.
var phases = []string{"pending", "in_flight", "delivered", "failed", "expired", "removed", "bounced", "expanded"}

func name[T ~uint8](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprint(v)
}

// message turns an open message into its JSON form, as it is at the time now.
func message(m *state.Message, now time.Time) api.Message {
	out := api.Message{
		ID: m.Accepted.ID, At: api.Time{Time: m.At}, State: queue.State(m, now), From: m.Accepted.Envelope.From.String(),
		Size: m.Accepted.Size, HeaderID: m.Accepted.HeaderID, Subject: m.Accepted.Subject,
		Client: m.Accepted.Client.IP, Cause: m.Accepted.Cause,
		Held: m.Held, HeldBy: m.HeldBy, HeldWhy: m.HeldWhy, Restored: m.Suspended, Attempts: m.Attempts,
		Recipients: make([]api.Recipient, 0, len(m.Recipients)),
	}
	for _, r := range m.Recipients {
		out.Recipients = append(out.Recipients, api.Recipient{
			Address: r.Address.String(), State: name(phases, r.Phase), Due: maybe(r.Due),
			Tries: r.Tries, Error: r.Error.String(), Host: r.Host, Reply: reply(r.Reply), Doubts: r.Doubts,
			FirstFailed: maybe(r.FirstFailed), LastFailed: maybe(r.LastFailed), Warned: r.Warned,
		})
	}
	return out
}

func maybe(t time.Time) *api.Time {
	if t.IsZero() {
		return nil
	}
	return &api.Time{Time: t}
}

func reply(r mail.Reply) string {
	if r.Code == 0 {
		return r.Text
	}
	return r.String()
}

// flatten turns a record into one Event, or one for each recipient it is
// about, named by to.
func flatten(r state.Record, to []string) []api.Event {
	base := api.Event{Event: r.Event.Kind().String(), At: api.Time{Time: r.At}, ID: r.ID, Term: r.Term}
	switch e := r.Event.(type) {
	case *event.Accepted:
		base.ID = e.ID
		base.Node = e.Submitter.Node
		base.Born = born(e)
		base.Due = maybe(e.Due)
	case *event.Claimed:
		base.Node, base.Attempt = e.By.Node, e.Number
		return each(base, e.Recipients, to)
	case *event.Returned:
		base.Attempt, base.Why, base.Due = e.Number, e.Why, maybe(e.Due)
		return each(base, e.Recipients, to)
	case *event.Doubted:
		base.Node, base.Attempt, base.Term, base.Due = e.By.Node, e.Number, e.Term, maybe(e.Due)
		return each(base, e.Recipients, to)
	case *event.Delivered:
		return each(tried(base, e.Attempt, event.ErrorNone), e.Recipients, to)
	case *event.Deferred:
		base.Due = maybe(e.Due)
		return each(tried(base, e.Attempt, e.Error), e.Recipients, to)
	case *event.Failed:
		return each(tried(base, e.Attempt, e.Error), e.Recipients, to)
	case *event.Expired:
		return each(tried(base, e.Attempt, e.Error), e.Recipients, to)
	case *event.Warned:
		return each(base, e.Recipients, to)
	case *event.Edited:
		base.By, base.Why = e.By, e.Why
		return edited(base, e, to)
	default:
		return []api.Event{act(base, r.Event, to)}
	}
	return []api.Event{base}
}

// act fills in what an operator's act, or an expansion, says.
func act(base api.Event, e event.Event, to []string) api.Event {
	switch e := e.(type) {
	case *event.Held:
		base.By, base.Why = e.By, e.Why
	case *event.Released:
		base.By = e.By
	case *event.Resumed:
		base.By = e.By
	case *event.Noted:
		base.By, base.Why, base.Noted = e.By, e.Why, &api.Noted{Key: e.Key, Value: e.Value, Until: maybe(e.Until)}
	case *event.Unnoted:
		base.By, base.Why, base.Noted = e.By, e.Why, &api.Noted{Key: e.Key}
	case *event.Retried:
		base.By, base.Due = e.By, maybe(e.Due)
	case *event.Removed:
		base.By, base.Why = e.By, e.Why
	case *event.Bounced:
		base.By, base.Why = e.By, e.Why
	case *event.Rerouted:
		base.By, base.Why, base.Hosts = e.By, e.Why, e.Hosts
	case *event.Expanded:
		base.Recipient = address(to, e.Recipient)
		base.Attempted = &api.Attempted{Router: e.Router}
		for _, r := range e.Into {
			base.Into = append(base.Into, called(r))
		}
	}
	return base
}

// called is what a recipient in the place of another is called: its address, or
// the command or file that an alias names.
func called(c event.Child) string {
	if c.Item != "" {
		return c.Item
	}
	return c.Address.String()
}

// each repeats an event for its recipients.
func each(base api.Event, recipients []uint32, to []string) []api.Event {
	out := make([]api.Event, 0, len(recipients))
	for _, n := range recipients {
		e := base
		e.Recipient = address(to, n)
		out = append(out, e)
	}
	return out
}

func address(to []string, n uint32) string {
	if int(n) < len(to) {
		return to[n]
	}
	return fmt.Sprintf("#%d", n)
}

func tried(base api.Event, a event.Attempt, kind event.ErrorKind) api.Event {
	base.Node, base.Attempt = a.Node, a.Number
	base.Attempted = &api.Attempted{
		Router: a.Router, Transport: a.Transport, Host: a.Host, IP: a.IP, TLS: a.TLS,
		Reply: reply(a.Reply), TookMS: a.Took.Milliseconds(), Error: kind.String(),
	}
	return base
}

func born(e *event.Accepted) *api.Born {
	b := &api.Born{
		From: e.Envelope.From.String(), To: addresses(e.Envelope), Size: e.Size, Priority: int(e.Envelope.Priority),
		Digest: hex.EncodeToString(e.Digest[:]), HeaderID: e.HeaderID, Subject: e.Subject,
		Client: e.Client.IP, Helo: e.Client.Helo, Protocol: e.Client.Protocol,
		Rules: e.Rules, Cause: e.Cause,
	}
	if e.Trace.TraceID != [16]byte{} {
		b.Trace = hex.EncodeToString(e.Trace.TraceID[:])
	}
	return b
}

func addresses(e mail.Envelope) []string {
	to := make([]string, 0, len(e.Recipients))
	for _, r := range e.Recipients {
		to = append(to, r.Address.String())
	}
	return to
}
