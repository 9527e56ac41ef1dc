package delivery

import (
	"errors"
	"log/slog"

	"quorumta/delivery/expand"
	"quorumta/delivery/meters"
	"quorumta/delivery/outcome"
	"quorumta/delivery/sorting"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// expandAll puts on record who comes in the place of recipients, and waits for
// that. It reports whether it is worth while to look at the message again.
func (d *Deliverer) expandAll(q *queue.Office, m *state.Message, list []sorting.One) (again bool) {
	for i := range list {
		e := &list[i]
		a := d.newAttempt(q, m, nil)
		a.Router = e.Decision.Router
		a.Handling = m.Handling(e.N)
		done, err := d.expandOne(a, m, e)
		if err != nil {
			d.refuseToExpand(a, e, err)
		}
		if again = again || done; !done && err == nil {
			return again // somebody else is at it, or we are ending
		}
		if i+1 < len(list) {
			if now, ok := q.Message(m.Accepted.ID); ok {
				m = now // those that came are known to the next
			} else {
				return again
			}
		}
	}
	return again
}

// expandOne expands a recipient. An error says why that is not possible now.
func (d *Deliverer) expandOne(a *attempt, m *state.Message, e *sorting.One) (done bool, err error) {
	facts, err := expand.Of(m, e.N, &e.Decision)
	if err != nil {
		return false, err
	}
	r := d.rules.Load()
	rules := outcome.Rules{Retry: r.Retry, Warnings: r.Warnings, DSN: r.DSN}
	all, err := rules.Expand(&a.Attempt, e.N, facts, a.office.Now())
	if err != nil {
		return false, err
	}
	id := m.Accepted.ID
	for _, part := range all {
		err := d.o.Queue.Resolve(d.records, queue.Outcome{ID: id, Events: part.Events, Report: part.Report})
		if errors.Is(err, queue.ErrTooNew) {
			return false, err
		}
		if err != nil {
			d.o.Log.ErrorContext(d.records, "expansion not recorded: it is done again", "id", id, "error", err)
			return false, nil
		}
	}
	now, open := a.office.Message(id)
	if open && now.Recipients[e.N].Phase != state.Expanded {
		return true, nil // an earlier office was faster: what is missing comes now
	}
	d.meters.Settled(d.records, meters.By{Outcome: "expanded"})
	d.o.Log.LogAttrs(d.records, slog.LevelInfo, "expanded",
		slog.String("id", string(id)),
		slog.String("from", m.Accepted.Envelope.From.String()),
		slog.String("to", m.Recipients[e.N].Address.String()),
		slog.String("router", e.Decision.Router),
		slog.String("found", e.Decision.Reply.Text),
		slog.Int("into", facts.Count()),
		slog.Uint64("shard", uint64(a.office.Shard())),
	)
	return true, nil
}

// refuseToExpand defers a recipient whose place others cannot take.
func (d *Deliverer) refuseToExpand(a *attempt, e *sorting.One, why error) {
	reply := mail.Reply{Code: 451, Enhanced: "4.3.5", Text: why.Error()}
	d.record(a, []outcome.Verdict{{
		Recipient: e.N, What: outcome.Deferred, Kind: event.ErrorRouting, Reply: reply, Router: e.Decision.Router,
	}})
}
