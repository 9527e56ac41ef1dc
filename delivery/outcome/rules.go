package outcome

import (
	"io"
	"time"

	"quorumta/delivery/dsn"
	"quorumta/delivery/retry"
	"quorumta/delivery/thaw"
	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// RestAfterFault is how long recipients rest after a fault of our own.
const RestAfterFault = time.Minute

// Rules are the operator's word on what follows a verdict.
type Rules struct {
	Retry    *retry.Rules
	Warnings retry.Warnings
	DSN      *dsn.Builder
	Freeze   thaw.Freeze
}

// Attempt is an attempt as events tell of it, or the handling of recipients
// that were not tried.
type Attempt struct {
	Message *state.Message
	// By and Term say who made it.
	By   event.Process
	Term uint64
	// Router and Transport are "" where none was found.
	Router, Transport string
	// Handling is what routers have said of the recipients, the same of all.
	Handling mail.Handling
	// Host and IP are where it last went, TLS how.
	Host, IP, TLS string
	// MX: the host was found by MX records.
	MX bool
	// RelaysDSN: the server promised to report success itself.
	RelaysDSN bool
	// Delivers: it ends where the message was taken, so that success is delivery.
	Delivers bool
	// Took is how long it took.
	Took time.Duration
	// Since is the first failure that any mail has met of what an error of the
	// class speaks of; the zero time where nothing is known. Nil: nothing is.
	Since func(retry.Class, uint32) time.Time
	// Content opens the message's content, for a report.
	Content func() (io.ReadCloser, error)
}

// Envelope is the message's as it goes on and as errors are reported: where
// routers have named an address for errors, it is that one's, and what the sender
// wished of reports is not passed on (RFC 3461, section 5.2.7.1).
func (a *Attempt) Envelope() *mail.Envelope { return a.envelope(a.Handling) }

// said is what routers have said of a recipient, the one that delivers last: what
// fails without having been routed knows of those alone that have put it in the
// place of others.
func (a *Attempt) said(n uint32) mail.Handling {
	if a.Handling.IsZero() {
		return a.Message.Handling(n)
	}
	return a.Handling
}

func (a *Attempt) envelope(said mail.Handling) *mail.Envelope {
	e := &a.Message.Accepted.Envelope
	path := said.ReturnPath(e.From)
	if path == e.From {
		return e
	}
	return &mail.Envelope{From: path, Recipients: e.Recipients, EightBit: e.EightBit, UTF8: e.UTF8}
}

// Schedule asks the retry rules about what is to be tried again. It returns
// when the first of it is due; the zero time if nothing is.
func (r Rules) Schedule(a *Attempt, verdicts []Verdict, now time.Time) (first time.Time) {
	for i := range verdicts {
		v := &verdicts[i]
		r.schedule(a, v, now)
		if !v.Due.IsZero() && (first.IsZero() || v.Due.Before(first)) {
			first = v.Due
		}
	}
	return first
}

func (r Rules) schedule(a *Attempt, v *Verdict, now time.Time) {
	switch v.What {
	case Returned:
		v.Due = now
		if v.Kind == event.ErrorInternal {
			v.Due = now.Add(RestAfterFault)
		}
	case Deferred, Doubted:
		e := a.Error(v, now)
		plan := r.Retry.Plan(e)
		v.Rule, v.Due, v.Expired, v.Past, v.Next = plan.Rule, plan.Due, plan.Expired, plan.Past, plan.Due
		if v.Expired {
			if v.Past {
				v.Next = r.Retry.Probe(e)
			}
			return
		}
		v.Until = plan.Until
		if !v.Wait.IsZero() {
			v.Due = v.Wait
			if v.Due.After(v.Until) {
				v.Due = v.Until
			}
		}
		warnings := r.Warnings
		if plan.Warnings != nil {
			warnings = plan.Warnings
		}
		v.warnings = warnings.Passed(a.Message.Released(), now)
	}
}

// Error is a verdict as the retry rules see it. What failed is the host, the
// message, or the address: the clock of each begins when the other one's errors
// end.
func (a *Attempt) Error(v *Verdict, now time.Time) retry.Error {
	rcpt := &a.Message.Recipients[v.Recipient]
	e := retry.Error{
		Recipient: rcpt.Address, Sender: a.Message.Accepted.Envelope.From,
		Kind: v.Kind, Reply: v.Reply, MX: a.MX,
		FirstFailed: rcpt.FirstFailed, Now: now,
	}
	class := retry.ClassOf(v.Kind)
	if v.What == Doubted {
		class = retry.Message // its answer to the dot: others may get through
	}
	if retry.ClassOf(rcpt.Error) == class {
		e.Since = rcpt.FirstFailed
	}
	if a.Since != nil {
		if since := a.Since(class, v.Recipient); !since.IsZero() && (e.Since.IsZero() || since.Before(e.Since)) {
			e.Since = since
		}
	}
	return e
}
