package delivery

import (
	"errors"
	"io"
	"time"

	"quorumta/delivery/dsn"
	"quorumta/delivery/retry"
	"quorumta/queue"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// restAfterFault is how long recipients rest after a fault of our own.
const restAfterFault = time.Minute

// record puts the verdicts of an attempt, or of recipients that were not tried,
// on record, and waits for that. It returns when one of the recipients is due
// again; the zero time if none is.
func (d *Deliverer) record(a *attempt, verdicts []verdict) (again time.Time) {
	now := d.o.Now()
	if a.claimed != nil {
		<-a.claimed
		if a.claimErr != nil {
			// Somebody else has them, or nobody knows: the leader settles it.
			d.o.Log.DebugContext(d.records, "claim refused", "id", a.m.Accepted.ID, "error", a.claimErr)
			return now.Add(time.Second)
		}
	}
	for i := range verdicts {
		d.schedule(a, &verdicts[i], now)
		if due := verdicts[i].due; !due.IsZero() && (again.IsZero() || due.Before(again)) {
			again = due
		}
	}
	s := settlement{d: d, a: a, verdicts: verdicts, now: now}
	for _, outcome := range s.outcomes() {
		if err := d.o.Queue.Resolve(d.records, outcome); err != nil {
			d.o.Log.ErrorContext(d.records, "outcome not recorded: the shard's leader settles it",
				"id", a.m.Accepted.ID, "error", err)
			return again
		}
	}
	d.tell(a, verdicts, now)
	if a.damaged {
		d.hold(a)
	}
	return again
}

// hold keeps a message whose content is damaged: it must neither go out nor
// bounce (PROTOCOL 13).
func (d *Deliverer) hold(a *attempt) {
	id := a.m.Accepted.ID
	d.o.Log.ErrorContext(d.records, "stored content is damaged: the message is held; look after the disk of this node, "+
		"then release the message", "id", id, "node", d.o.Process.Node)
	if err := d.o.Queue.Operate(d.records, queue.ActHold, id, "quorumta", "stored content is damaged"); err != nil {
		d.o.Log.ErrorContext(d.records, "message not held", "id", id, "error", err)
	}
}

// schedule asks the retry rules about what is to be tried again.
func (d *Deliverer) schedule(a *attempt, v *verdict, now time.Time) {
	switch v.what {
	case returned:
		v.due = now
		if v.kind == event.ErrorInternal {
			v.due = now.Add(restAfterFault)
		}
	case deferred, doubted:
		r := &a.m.Recipients[v.recipient]
		e := retry.Error{
			Recipient: r.Address, Sender: a.m.Accepted.Envelope.From,
			Kind: v.kind, Code: v.reply.Code,
			Accepted: a.m.At, FirstFailed: r.FirstFailed, LastFailed: r.LastFailed, Now: now,
			Tries: r.Tries,
		}
		if v.due, v.expired = d.o.Retry.Next(e); v.expired {
			v.due = time.Time{}
			return
		}
		v.until = d.o.Retry.Until(e)
	}
}

// settlement turns verdicts into events and reports.
type settlement struct {
	d        *Deliverer
	a        *attempt
	verdicts []verdict
	now      time.Time
}

// outcomes is what to record: what went well, what is over, what goes on. An
// Outcome has one report at most; without a need for more it is one.
func (s *settlement) outcomes() []queue.Outcome {
	var all []queue.Outcome
	merged := queue.Outcome{ID: s.a.m.Accepted.ID}
	reports := 0
	for _, o := range []queue.Outcome{s.good(), s.bad(), s.later()} {
		if len(o.Events) == 0 {
			continue
		}
		o.ID = s.a.m.Accepted.ID
		all = append(all, o)
		merged.Events = append(merged.Events, o.Events...)
		if o.Report != nil {
			merged.Report = o.Report
			reports++
		}
	}
	if len(all) > 1 && reports <= 1 {
		return []queue.Outcome{merged}
	}
	return all
}

// good is what was delivered, with a report that it was relayed where the next
// host will not send one (RFC 3461, section 5.2.2).
func (s *settlement) good() queue.Outcome {
	var o queue.Outcome
	var list []dsn.Status
	for _, g := range s.alike(func(v *verdict) bool { return v.what == delivered }) {
		o.Events = append(o.Events, &event.Delivered{Recipients: g.recipients, Attempt: s.attempt(g.verdict, true)})
		list = append(list, s.statuses(g)...)
	}
	if len(list) > 0 && !s.a.relaysDSN {
		o.Report, _ = s.report(dsn.Success, list)
	}
	return o
}

// bad is what failed or expired, with its report. Without the report that is
// wanted nothing may end: the recipients go back.
func (s *settlement) bad() queue.Outcome {
	var o queue.Outcome
	var list []dsn.Status
	for _, g := range s.alike(func(v *verdict) bool { return v.what == failed || v.expired }) {
		claimed := true
		if g.what == doubted {
			o.Events = append(o.Events, s.doubt(g))
			claimed = false
		}
		attempt := s.attempt(g.verdict, claimed)
		if g.expired {
			o.Events = append(o.Events, &event.Expired{Recipients: g.recipients, Attempt: attempt, Error: g.kind})
		} else {
			o.Events = append(o.Events, &event.Failed{Recipients: g.recipients, Attempt: attempt, Error: g.kind})
		}
		list = append(list, s.statuses(g)...)
	}
	if len(list) == 0 {
		return o
	}
	var err error
	if o.Report, err = s.report(dsn.Failure, list); err == nil {
		return o
	}
	s.d.o.Log.ErrorContext(s.d.records, "no report can be made: the recipients wait", "id", s.a.m.Accepted.ID, "error", err)
	return s.back(list)
}

// back returns the recipients of a claim; without a claim they are as they
// were.
func (s *settlement) back(list []dsn.Status) queue.Outcome {
	if s.a.claim.Number == 0 {
		return queue.Outcome{}
	}
	e := &event.Returned{Number: s.a.claim.Number, Due: s.now.Add(restAfterFault), Why: "no report could be made"}
	for _, status := range list {
		e.Recipients = append(e.Recipients, uint32(status.N))
	}
	return queue.Outcome{Events: []event.Event{e}}
}

// later is what is to be tried again, with a warning of the delay where it is
// time for one and somebody wants it.
func (s *settlement) later() queue.Outcome {
	var o queue.Outcome
	for _, g := range s.alike(func(v *verdict) bool { return !v.due.IsZero() }) {
		switch g.what {
		case returned:
			if s.a.claim.Number != 0 {
				o.Events = append(o.Events, &event.Returned{
					Number: s.a.claim.Number, Recipients: g.recipients, Due: g.due, Why: g.reply.Text,
				})
			}
			continue
		case doubted:
			o.Events = append(o.Events, s.doubt(g))
		}
		o.Events = append(o.Events, &event.Deferred{
			Recipients: g.recipients, Attempt: s.attempt(g.verdict, g.what != doubted), Error: g.kind, Due: g.due,
		})
	}
	warned, list := s.warnings()
	if len(list) == 0 {
		return o
	}
	if report, err := s.report(dsn.Delay, list); err == nil && report != nil {
		o.Events = append(o.Events, warned...)
		o.Report = report
	}
	return o
}

// warnings are the recipients whose sender is to be told of the delay.
func (s *settlement) warnings() ([]event.Event, []dsn.Status) {
	steps := map[uint32]*event.Warned{}
	var events []event.Event
	var list []dsn.Status
	for i := range s.verdicts {
		v := &s.verdicts[i]
		r := &s.a.m.Recipients[v.recipient]
		if v.what != deferred || v.expired || !s.d.o.Warnings.Due(s.a.m.At, r.Warned, s.now) {
			continue
		}
		e := steps[r.Warned+1]
		if e == nil {
			e = &event.Warned{Step: r.Warned + 1}
			steps[e.Step] = e
			events = append(events, e)
		}
		e.Recipients = append(e.Recipients, v.recipient)
		list = append(list, s.status(v))
	}
	return events, list
}

func (s *settlement) doubt(g alike) *event.Doubted {
	due := g.due
	if due.IsZero() {
		due = s.now
	}
	return &event.Doubted{
		Number: s.a.claim.Number, Recipients: g.recipients, By: s.d.o.Process,
		Term: s.a.office.Term(), Due: due,
	}
}

// attempt describes the attempt; unclaimed for an event that comes after the
// claim has ended.
func (s *settlement) attempt(v verdict, claimed bool) event.Attempt {
	a := event.Attempt{
		Node:      s.d.o.Process.Node,
		Router:    s.a.router,
		Transport: s.a.transport,
		Host:      s.a.host.Host,
		IP:        s.a.host.IP,
		TLS:       s.a.secrecy,
		Reply:     v.reply,
		Took:      s.now.Sub(s.a.began),
	}
	if v.router != "" {
		a.Router = v.router
	}
	if claimed {
		a.Number = s.a.claim.Number
	}
	return a
}

// alike is recipients with the same verdict.
type alike struct {
	verdict
	recipients []uint32
}

// alike collects the chosen verdicts by what they say.
func (s *settlement) alike(choose func(*verdict) bool) []alike {
	var groups []alike
	index := map[verdict]int{}
	for i := range s.verdicts {
		v := s.verdicts[i]
		if !choose(&v) {
			continue
		}
		n := v.recipient
		v.recipient = 0
		k, ok := index[v]
		if !ok {
			k = len(groups)
			index[v] = k
			groups = append(groups, alike{verdict: v})
		}
		groups[k].recipients = append(groups[k].recipients, n)
	}
	return groups
}

func (s *settlement) statuses(g alike) []dsn.Status {
	list := make([]dsn.Status, len(g.recipients))
	for i, n := range g.recipients {
		v := g.verdict
		v.recipient = n
		list[i] = s.status(&v)
	}
	return list
}

func (s *settlement) status(v *verdict) dsn.Status {
	return dsn.Status{
		N: int(v.recipient), Reply: v.reply, Host: s.a.host.Host, Error: v.kind,
		Expired: v.expired, LastAttempt: s.now, RetryUntil: v.until,
	}
}

// report builds a report; nil where nobody wants one. Content that cannot be
// read is left out.
func (s *settlement) report(kind dsn.Kind, list []dsn.Status) (*event.Accepted, error) {
	content := &lazyContent{office: s.a.office, m: s.a.m}
	report, err := s.d.o.DSN.Build(kind, s.a.m, list, content)
	content.close()
	if err == nil || content.err == nil {
		return report, err
	}
	return s.d.o.DSN.Build(kind, s.a.m, list, emptyReader{})
}

// lazyContent opens a message's content when it is first read.
type lazyContent struct {
	office *office
	m      *state.Message
	r      io.ReadCloser
	err    error
}

func (c *lazyContent) Read(p []byte) (int, error) {
	if c.r == nil && c.err == nil {
		c.r, _, c.err = c.office.Content(c.m.Accepted.ID)
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

func (c *lazyContent) close() {
	if c.r != nil {
		_ = c.r.Close()
	}
}

// emptyReader is content that is not there.
type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, io.EOF }
