package outcome

import (
	"maps"
	"slices"
	"time"

	"quorumta/delivery/dsn"
	"quorumta/delivery/expand"
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// Facts are events about one message that belong together, with the report
// that they cause, if any.
type Facts struct {
	Events []event.Event
	Report *event.Accepted
	// Hold is why the message is to be held once this is on record; "": it is not.
	Hold string
}

// Settle is what to record of the verdicts, which have been scheduled: what
// went well, what is over, what goes on. claim is the number of the attempt's
// claim, 0 for one without. Facts have one report at most; without a need for
// more there is one of them. The error says why a report cannot be made:
// without it nothing ends, the recipients go back.
func (r Rules) Settle(a *Attempt, claim uint32, verdicts []Verdict, now time.Time) ([]Facts, error) {
	s := settlement{Rules: r, a: a, claim: claim, verdicts: verdicts, now: now}
	return s.facts(), s.fault
}

// settlement turns verdicts into events and reports.
type settlement struct {
	Rules
	a        *Attempt
	claim    uint32
	verdicts []Verdict
	now      time.Time
	// fault is why a report that is owed cannot be made.
	fault error
}

func (s *settlement) facts() []Facts {
	var all []Facts
	var merged Facts
	reports := 0
	good := s.good()
	for _, o := range slices.Concat(good, s.bad(), s.later()) {
		if len(o.Events) == 0 {
			continue
		}
		all = append(all, o)
		merged.Events = append(merged.Events, o.Events...)
		merged.Hold += o.Hold
		if o.Report != nil {
			merged.Report = o.Report
			reports++
		}
	}
	// A report of success stands alone: a failure's may be put off with it
	// where the clock is not trusted.
	success := slices.ContainsFunc(good, func(o Facts) bool { return o.Report != nil })
	if len(all) > 1 && reports <= 1 && !success {
		return []Facts{merged}
	}
	return all
}

// good is what was delivered, with a report that it was relayed where the next
// host will not send one (RFC 3461, section 5.2.2).
func (s *settlement) good() []Facts {
	var all []Facts
	for _, verdicts := range s.addressed(dsn.Success, func(v *Verdict) bool { return v.What == Delivered }) {
		var o Facts
		var list []dsn.Status
		for _, g := range collect(verdicts) {
			o.Events = append(o.Events, &event.Delivered{Recipients: g.recipients, Attempt: s.attempt(g.Verdict, true)})
			list = append(list, s.statuses(g)...)
		}
		for i := range list {
			if s.a.Delivers {
				list[i].Action = dsn.Delivered
			}
		}
		if !s.a.RelaysDSN {
			o.Report, _ = s.report(dsn.Success, list)
		}
		all = append(all, o)
	}
	return all
}

// bad is what failed or expired, with a report to each who is to be told.
// Without the report that is wanted nothing may end: the recipients go back.
func (s *settlement) bad() []Facts {
	var all []Facts
	for _, verdicts := range s.addressed(dsn.Failure, func(v *Verdict) bool { return v.What == Failed || v.Expired }) {
		if s.freezes() {
			all = append(all, s.frozen(verdicts))
			continue
		}
		all = append(all, s.ended(verdicts))
	}
	return all
}

func (s *settlement) ended(verdicts []Verdict) Facts {
	var o Facts
	var list []dsn.Status
	for _, g := range collect(verdicts) {
		claimed := true
		if g.What == Doubted {
			o.Events = append(o.Events, s.doubt(g))
			claimed = false
		}
		attempt := s.attempt(g.Verdict, claimed)
		if g.Expired {
			o.Events = append(o.Events, &event.Expired{Recipients: g.recipients, Attempt: attempt, Error: g.Kind})
		} else {
			o.Events = append(o.Events, &event.Failed{Recipients: g.recipients, Attempt: attempt, Error: g.Kind})
		}
		list = append(list, s.statuses(g)...)
	}
	var err error
	if o.Report, err = s.report(dsn.Failure, list); err == nil {
		return o
	}
	s.fault = err
	return s.back(list)
}

// back returns the recipients of a claim; without a claim they are as they
// were.
func (s *settlement) back(list []dsn.Status) Facts {
	if s.claim == 0 {
		return Facts{}
	}
	e := &event.Returned{Number: s.claim, Due: s.now.Add(RestAfterFault), Why: "no report could be made"}
	for _, status := range list {
		e.Recipients = append(e.Recipients, uint32(status.N))
	}
	return Facts{Events: []event.Event{e}}
}

// later is what is to be tried again, with a warning of the delay where it is
// time for one and somebody wants it.
func (s *settlement) later() []Facts {
	var o Facts
	for _, g := range s.alike(func(v *Verdict) bool { return !v.Due.IsZero() }) {
		switch g.What {
		case Returned:
			if s.claim != 0 {
				o.Events = append(o.Events, &event.Returned{
					Number: s.claim, Recipients: g.recipients, Due: g.Due, Why: g.Reply.Text,
				})
			}
			continue
		case Doubted:
			o.Events = append(o.Events, s.doubt(g))
		}
		o.Events = append(o.Events, &event.Deferred{
			Recipients: g.recipients, Attempt: s.attempt(g.Verdict, g.What != Doubted), Error: g.Kind, Due: g.Due,
		})
	}
	all := []Facts{o}
	for _, verdicts := range s.addressed(dsn.Delay, s.late) {
		if w := s.warned(verdicts); w.Report != nil {
			all = append(all, w)
		}
	}
	return all
}

// late: the sender should have heard of the delay by now, and has not.
func (s *settlement) late(v *Verdict) bool {
	return v.What == Deferred && !v.Expired && v.warnings > s.a.Message.Recipients[v.Recipient].Warned
}

// warned is a warning of the delay. One stands for all ages that have passed
// since the last one.
func (s *settlement) warned(verdicts []Verdict) Facts {
	var o Facts
	steps := map[uint32]*event.Warned{}
	var list []dsn.Status
	for i := range verdicts {
		v := &verdicts[i]
		for n := s.a.Message.Recipients[v.Recipient].Warned + 1; n <= v.warnings; n++ {
			if steps[n] == nil {
				steps[n] = &event.Warned{Step: n}
			}
			steps[n].Recipients = append(steps[n].Recipients, v.Recipient)
		}
		list = append(list, s.status(v))
	}
	for _, n := range slices.Sorted(maps.Keys(steps)) {
		o.Events = append(o.Events, steps[n])
	}
	o.Report, _ = s.report(dsn.Delay, list)
	return o
}

func (s *settlement) doubt(g alike) *event.Doubted {
	due := g.Due
	if due.IsZero() {
		due = s.now
	}
	return &event.Doubted{
		Number: s.claim, Recipients: g.recipients, By: s.a.By,
		Term: s.a.Term, Due: due,
	}
}

// attempt describes the attempt; unclaimed for an event that comes after the
// claim has ended.
func (s *settlement) attempt(v Verdict, claimed bool) event.Attempt {
	a := event.Attempt{
		Node:      s.a.By.Node,
		Router:    s.a.Router,
		Transport: s.a.Transport,
		Host:      s.a.Host,
		IP:        s.a.IP,
		TLS:       s.a.TLS,
		Reply:     v.Reply,
		Took:      s.a.Took,
	}
	if v.Router != "" {
		a.Router = v.Router
	}
	if claimed {
		a.Number = s.claim
	}
	return a
}

// alike is recipients with the same verdict.
type alike struct {
	Verdict
	recipients []uint32
}

// choose are the verdicts of a kind.
func (s *settlement) choose(which func(*Verdict) bool) []Verdict {
	var list []Verdict
	for i := range s.verdicts {
		if which(&s.verdicts[i]) {
			list = append(list, s.verdicts[i])
		}
	}
	return list
}

// addressed are the verdicts of a kind by who is told of them.
func (s *settlement) addressed(kind dsn.Kind, which func(*Verdict) bool) [][]Verdict {
	var lists [][]Verdict
	index := map[mail.Address]int{}
	for _, v := range s.choose(which) {
		to := s.addressee(kind, v.Recipient)
		i, ok := index[to]
		if !ok {
			i = len(lists)
			index[to] = i
			lists = append(lists, nil)
		}
		lists[i] = append(lists[i], v)
	}
	return lists
}

func (s *settlement) alike(which func(*Verdict) bool) []alike { return collect(s.choose(which)) }

// collect puts verdicts together that say the same.
func collect(verdicts []Verdict) []alike {
	var groups []alike
	index := map[Verdict]int{}
	for _, v := range verdicts {
		n := v.Recipient
		v.Recipient = 0
		k, ok := index[v]
		if !ok {
			k = len(groups)
			index[v] = k
			groups = append(groups, alike{Verdict: v})
		}
		groups[k].recipients = append(groups[k].recipients, n)
	}
	return groups
}

func (s *settlement) statuses(g alike) []dsn.Status {
	list := make([]dsn.Status, len(g.recipients))
	for i, n := range g.recipients {
		v := g.Verdict
		v.Recipient = n
		list[i] = s.status(&v)
	}
	return list
}

func (s *settlement) status(v *Verdict) dsn.Status {
	return dsn.Status{
		N: int(v.Recipient), Reply: v.Reply, Host: s.a.Host, Error: v.Kind,
		Expired: v.Expired, LastAttempt: s.now, RetryUntil: v.Until,
	}
}

// addressee is who is told of a recipient: the one place where that is decided.
func (s *settlement) addressee(kind dsn.Kind, n uint32) mail.Address {
	return s.DSN.Addressee(kind, s.a.Message, int(n), s.a.said(n))
}

// report builds the report to the addressee that the listed have in common; nil
// where nobody wants one. Content that cannot be read is left out.
func (s *settlement) report(kind dsn.Kind, list []dsn.Status) (*event.Accepted, error) {
	n := uint32(list[0].N)
	to, m := s.addressee(kind, n), s.a.reported(n)
	content := &lazyContent{open: s.a.Content}
	report, err := s.DSN.Build(kind, to, m, list, content)
	content.close()
	if err == nil || content.err == nil {
		return report, err
	}
	return s.DSN.Build(kind, to, m, list, emptyReader{})
}

// reported is the message as reports are made of it: whoever is to be told is its
// sender.
func (a *Attempt) reported(n uint32) *state.Message {
	e := a.envelope(a.said(n))
	if e == &a.Message.Accepted.Envelope {
		return a.Message
	}
	m := *a.Message
	m.Accepted.Envelope = *e
	return &m
}

// Expand is what to record of a recipient that others come in the place of, part
// by part, with the report of success that is owed with the last one.
func (r Rules) Expand(a *Attempt, n uint32, facts expand.Facts, now time.Time) ([]Facts, error) {
	all := make([]Facts, len(facts.Parts))
	for i, part := range facts.Parts {
		all[i].Events = []event.Event{part}
	}
	if facts.Report == "" {
		return all, nil
	}
	s := settlement{Rules: r, a: a, now: now}
	var err error
	all[len(all)-1].Report, err = s.report(dsn.Success, []dsn.Status{{N: int(n), Action: dsn.Action(facts.Report)}})
	return all, err
}
