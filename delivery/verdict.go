package delivery

import (
	"context"
	"errors"
	"time"

	"quorumta/delivery/site"
	"quorumta/delivery/smtpc"
	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/event"
)

// outcome is what became of a recipient in an attempt.
type outcome uint8

const (
	delivered outcome = iota + 1
	deferred
	failed
	// returned: no dot was sent, and nobody refused anything.
	returned
	// doubted: the dot was sent, and its answer is unknown.
	doubted
)

// verdict is the outcome for one recipient, and why.
type verdict struct {
	recipient uint32
	what      outcome
	kind      event.ErrorKind
	reply     mail.Reply
	// router is set where none took the recipient to a site.
	router string
	// expired and due are the retry rule's word on what is deferred or
	// doubted.
	expired bool
	due     time.Time
	// until is when a further failure would be final.
	until time.Time
}

// judge reads a transaction: res and err are those of smtpc's Send, failure is
// err in terms of sites.
func judge(recipients []uint32, res smtpc.Result, err error, failure site.Failure) []verdict {
	verdicts := make([]verdict, len(recipients))
	taken := 0
	for i := range recipients {
		if res.Rcpts[i].Positive() {
			taken++
		}
	}
	for i, n := range recipients {
		v := judgeOne(res, res.Rcpts[i], taken, err, failure)
		v.recipient = n
		verdicts[i] = v
	}
	return verdicts
}

// judgeOne finds the reply that decided for a recipient: the first refusal on
// its way, or the last word of all.
func judgeOne(res smtpc.Result, rcpt mail.Reply, taken int, err error, failure site.Failure) verdict {
	var e *smtpc.Error
	ours := errors.As(err, &e) && e.Ours
	switch {
	case refuses(res.Mail):
		return refused(res.Mail, event.ErrorSender)
	case refuses(rcpt) && tooMany(rcpt) && taken > 0 && res.Final.Positive():
		// The server has taken the message for others and wants fewer at a
		// time (RFC 5321, section 4.5.3.1.10): the rest goes again at once.
		return verdict{what: returned, reply: rcpt}
	case refuses(rcpt):
		return refused(rcpt, event.ErrorRecipient)
	case res.Final.Positive():
		return verdict{what: delivered, reply: res.Final}
	case res.Final.Code != 0:
		return refused(res.Final, event.ErrorContent)
	case res.Dot:
		return verdict{what: doubted, kind: failure.Kind, reply: failure.Reply}
	case ours:
		return verdict{what: returned, kind: ourFault(err), reply: mail.Reply{Text: err.Error()}}
	case refuses(res.Data):
		return refused(res.Data, event.ErrorContent)
	case err != nil:
		return verdict{what: deferred, kind: failure.Kind, reply: failure.Reply}
	}
	return refused(rcpt, event.ErrorRecipient)
}

// ourFault is ErrorInternal, or ErrorNone where nothing is wrong: the right to
// send has gone elsewhere, or we are ending.
func ourFault(err error) event.ErrorKind {
	if errors.Is(err, queue.ErrStale) || errors.Is(err, queue.ErrNotInOffice) || errors.Is(err, context.Canceled) {
		return event.ErrorNone
	}
	return event.ErrorInternal
}

// refuses reports whether a reply to a command was given and says no. A 421
// speaks of the session, not of the command (RFC 5321, section 3.8): it comes
// with an error.
func refuses(r mail.Reply) bool {
	return r.Code != 0 && r.Code != 421 && r.Code != 354 && !r.Positive()
}

// tooMany is 452, or 552 which is to be read as 452 (RFC 5321, section
// 4.5.3.1.10), to RCPT.
func tooMany(r mail.Reply) bool {
	return r.Code == 452 || r.Code == 552 && (r.Enhanced == "" || r.Enhanced == "5.5.3")
}

// refused is the verdict of a reply that is not 2yz: 5yz is for good, all else
// for now.
func refused(r mail.Reply, kind event.ErrorKind) verdict {
	v := verdict{what: deferred, kind: kind, reply: r}
	if r.Permanent() && !(kind == event.ErrorRecipient && tooMany(r)) {
		v.what = failed
	}
	return v
}
