package outcome

import (
	"io"
	"time"

	"quorumta/delivery/dsn"
	"quorumta/delivery/retry"
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
	// Host and IP are where it last went, TLS how.
	Host, IP, TLS string
	// RelaysDSN: the server promised to report success itself.
	RelaysDSN bool
	// Took is how long it took.
	Took time.Duration
	// Content opens the message's content, for a report.
	Content func() (io.ReadCloser, error)
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
		rcpt := &a.Message.Recipients[v.Recipient]
		e := retry.Error{
			Recipient: rcpt.Address, Sender: a.Message.Accepted.Envelope.From,
			Kind: v.Kind, Code: v.Reply.Code,
			Accepted: a.Message.At, FirstFailed: rcpt.FirstFailed, LastFailed: rcpt.LastFailed, Now: now,
			Tries: rcpt.Tries,
		}
		if v.Due, v.Expired = r.Retry.Next(e); v.Expired {
			v.Due = time.Time{}
			return
		}
		v.Until = r.Retry.Until(e)
	}
}
