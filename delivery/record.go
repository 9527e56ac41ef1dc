package delivery

import (
	"time"

	"quorumta/delivery/outcome"
	"quorumta/delivery/thaw"
	"quorumta/internal/mail"
	"quorumta/queue"
)

// record puts the verdicts of an attempt, or of recipients that were not tried,
// on record, and waits for that. It returns when one of the recipients is due
// again; the zero time if none is.
func (d *Deliverer) record(a *attempt, verdicts []outcome.Verdict) (again time.Time) {
	id := a.Message.Accepted.ID
	if err := a.claimed(); err != nil {
		return d.refused(a, err)
	}
	now, r := a.office.Now(), d.rules.Load()
	a.Took = d.o.Now().Sub(a.began)
	rules := outcome.Rules{Retry: r.Retry, Warnings: r.Warnings, DSN: r.DSN, Freeze: r.Freeze}
	d.remember(a, verdicts, r)
	a.Since = d.since(a, r)
	again = rules.Schedule(&a.Attempt, verdicts, now)
	d.agree(a, verdicts)
	all, err := rules.Settle(&a.Attempt, a.claim.Number, verdicts, now)
	if err != nil {
		d.o.Log.ErrorContext(d.records, "no report can be made: the recipients wait", "id", id, "error", err)
	}
	for _, facts := range all {
		if err := d.o.Queue.Resolve(d.records, queue.Outcome{ID: id, Events: facts.Events, Report: facts.Report}); err != nil {
			d.o.Log.ErrorContext(d.records, "outcome not recorded: the shard's leader settles it", "id", id, "error", err)
			return again
		}
		if facts.Hold != "" {
			d.keep(a, thaw.Freezer, facts.Hold)
		}
	}
	d.tell(a, verdicts, now)
	if a.damaged {
		d.hold(a)
	}
	return again
}

// refused is what follows where the recipients could not be claimed: somebody
// else has them, or nobody knows, and the leader settles it.
func (d *Deliverer) refused(a *attempt, err error) (again time.Time) {
	d.o.Log.DebugContext(d.records, "claim refused", "id", a.Message.Accepted.ID, "error", err)
	return a.office.Now().Add(time.Second)
}

// here is a shard's time by our own clock; zero stays zero.
func (d *Deliverer) here(q *queue.Office, t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(d.o.Now().Sub(q.Now()))
}

// hold keeps a message whose content is damaged: it must neither go out nor
// bounce (PROTOCOL 13).
func (d *Deliverer) hold(a *attempt) {
	id := a.Message.Accepted.ID
	d.o.Log.ErrorContext(d.records, "stored content is damaged: the message is held; look after the disk of this node, "+
		"then release the message", "id", id)
	d.keep(a, thaw.Holder, "stored content is damaged")
}

// keep holds the message of an attempt.
func (d *Deliverer) keep(a *attempt, by, why string) {
	id := a.Message.Accepted.ID
	if err := d.o.Queue.Operate(d.records, queue.ActHold, id, by, why); err != nil {
		d.o.Log.ErrorContext(d.records, "message not held", "id", id, "error", err)
	}
}

// release has a message tried again that the relay holds.
func (d *Deliverer) release(id mail.MessageID) {
	if err := d.o.Queue.Operate(d.records, queue.ActRelease, id, thaw.Holder, ""); err != nil {
		d.o.Log.WarnContext(d.records, "a held message is not tried again", "id", id, "error", err)
	}
}
