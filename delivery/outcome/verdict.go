package outcome

import (
	"errors"
	"time"

	"quorumta/delivery/transport"
	"quorumta/internal/mail"
	"quorumta/queue/event"
)

// What is what became of a recipient in an attempt.
type What uint8

// What may become of it.
const (
	Delivered What = iota + 1
	Deferred
	Failed
	// Returned: no dot was sent, and nobody refused anything.
	Returned
	// Doubted: the dot was sent, and its answer is unknown.
	Doubted
)

// Verdict is what became of one recipient, and why.
type Verdict struct {
	Recipient uint32
	What      What
	Kind      event.ErrorKind
	Reply     mail.Reply
	// Router is set where none took the recipient to a site.
	Router string
	// Expired and Due are the retry rule's word on what is deferred or
	// doubted.
	Expired bool
	Due     time.Time
	// Until is when a further failure would be final, Rule the retry rule's name.
	Until time.Time
	Rule  string
	// Wait is when a host that is known to be bad is tried again: the recipient
	// has not been tried. Zero: it has.
	Wait time.Time
	// Next is when the rules want what failed to be tried again, for all who wait
	// for it; zero where that is not known. Past: its last cut-off has passed.
	Next time.Time
	Past bool
	// warnings is how many of a delay the sender should have had by now.
	warnings uint32
}

// Word is what logs and metrics call a verdict.
func (v *Verdict) Word() string {
	switch {
	case v.Expired:
		return "expired"
	case v.What == Delivered:
		return "delivered"
	case v.What == Failed:
		return "failed"
	case v.What == Returned:
		return "returned"
	}
	return "deferred"
}

// Words are those that Word gives.
func Words() []string { return []string{"expired", "delivered", "failed", "returned", "deferred"} }

// Cause is why a session ended.
type Cause struct {
	Kind  event.ErrorKind
	Reply mail.Reply
}

// Judge reads a transaction: res and err are those of a Conn's Send, cause is err
// in terms of events. Of an error of ours, ErrorNone says that nothing is wrong.
func Judge(recipients []uint32, res transport.Result, err error, cause Cause) []Verdict {
	verdicts := make([]Verdict, len(recipients))
	taken := 0
	for i := range recipients {
		if res.Rcpts[i].Positive() {
			taken++
		}
	}
	for i, n := range recipients {
		v := judgeOne(&res, i, taken, err, cause)
		v.Recipient = n
		verdicts[i] = v
	}
	return verdicts
}

// judgeOne finds the reply that decided for a recipient: the first refusal on
// its way, or the last word of all.
func judgeOne(res *transport.Result, i, taken int, err error, cause Cause) Verdict {
	var e *transport.Error
	ours := errors.As(err, &e) && e.Ours
	rcpt, final := res.Rcpts[i], res.FinalOf(i)
	switch {
	case refuses(res.Mail):
		return refused(res.Mail, event.ErrorSender)
	case refuses(rcpt) && tooMany(rcpt) && taken > 0 && res.Worked():
		// The server has taken the message for others and wants fewer at a
		// time (RFC 5321, section 4.5.3.1.10): the rest goes again at once.
		return Verdict{What: Returned, Reply: rcpt}
	case refuses(rcpt):
		return refused(rcpt, event.ErrorRecipient)
	case final.Positive():
		return Verdict{What: Delivered, Reply: final}
	case final.Code != 0 && res.Finals != nil:
		return refusedLate(final)
	case final.Code != 0:
		return refused(final, event.ErrorContent)
	case res.Dot:
		return Verdict{What: Doubted, Kind: cause.Kind, Reply: cause.Reply}
	case ours:
		return Verdict{What: Returned, Kind: cause.Kind, Reply: cause.Reply}
	case refuses(res.Data):
		return refused(res.Data, event.ErrorContent)
	case err != nil:
		return Verdict{What: Deferred, Kind: cause.Kind, Reply: cause.Reply}
	}
	return refused(rcpt, event.ErrorRecipient)
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
func refused(r mail.Reply, kind event.ErrorKind) Verdict {
	v := Verdict{What: Deferred, Kind: kind, Reply: r}
	if r.Permanent() && !(kind == event.ErrorRecipient && tooMany(r)) {
		v.What = Failed
	}
	return v
}

// refusedLate is the verdict of a refusal after the content that speaks of one
// recipient (RFC 2033, section 4.2): a mailbox is full, say. It is read as one
// to RCPT, but that 552 never asks for fewer recipients.
func refusedLate(r mail.Reply) Verdict {
	v := Verdict{What: Deferred, Kind: event.ErrorRecipient, Reply: r}
	if r.Permanent() {
		v.What = Failed
	}
	return v
}

// Refusals are the replies of those that were not delivered.
func Refusals(verdicts []Verdict) []mail.Reply {
	var replies []mail.Reply
	for i := range verdicts {
		if verdicts[i].What != Delivered {
			replies = append(replies, verdicts[i].Reply)
		}
	}
	return replies
}
