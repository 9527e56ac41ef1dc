package roster

import (
	"fmt"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
)

// Phase is where a recipient is.
type Phase uint8

// The phases. Those after InFlight are final.
const (
	Pending   Phase = 0
	InFlight  Phase = 1
	Delivered Phase = 2
	Failed    Phase = 3
	Expired   Phase = 4
	Removed   Phase = 5
	Bounced   Phase = 6
	Expanded  Phase = 7
)

// Open reports whether something is left to do for the recipient.
func (p Phase) Open() bool { return p <= InFlight }

// Recipient is a recipient and how far it is.
type Recipient struct {
	mail.Recipient
	Phase Phase
	// Attempt is the number of the newest Claimed of this recipient.
	Attempt uint32
	// Tries counts the attempts that ended in Deferred.
	Tries uint32
	// Due is when it may be tried (Pending only).
	Due time.Time
	// FirstFailed is when it was first Deferred; zero if never.
	FirstFailed time.Time
	// LastFailed is when it was last Deferred; zero if never.
	LastFailed time.Time
	// Error, Reply and Host are those of the last outcome.
	Error event.ErrorKind
	Reply mail.Reply
	Host  string
	// Doubts counts the attempts that ended in doubt.
	Doubts uint32
	// Warned counts the delay warnings.
	Warned uint32
	Origin
	// Expansion is set where others are in this one's place, or begin to be.
	Expansion *Expansion
}

// Origin is where a recipient comes from that is none of the envelope.
type Origin struct {
	// Parent is one more than the index of the recipient in whose place this one
	// is; 0 for one of the envelope.
	Parent uint32
	// Item is "|command" or "/file" where an alias says so instead of an address.
	Item string
	// Apart: what the parent's router said of the others is not said of this one.
	Apart bool
}

// Expansion is who replaced a recipient by others, and what it said of those.
type Expansion struct {
	Router   string
	Handling mail.Handling
}

// Close ends the recipient.
func (r *Recipient) Close(phase Phase) { r.Phase, r.Due = phase, time.Time{} }

// MaxReplyText is how much of a reply's text the status keeps, in bytes; the
// history has all of it.
const MaxReplyText = 512

// Note keeps what the last attempt met.
func (r *Recipient) Note(a event.Attempt, kind event.ErrorKind) {
	r.Error, r.Host = kind, a.Host
	r.Reply = mail.Reply{Code: a.Reply.Code, Enhanced: a.Reply.Enhanced, Text: a.Reply.Text}
	if len(r.Reply.Text) > MaxReplyText {
		r.Reply.Text = r.Reply.Text[:MaxReplyText]
	}
}

var phaseNames = [...]string{
	"pending", "in_flight", "delivered", "failed", "expired", "removed", "bounced", "expanded",
}

// String is the phase's name as operators see it, as "in_flight".
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return fmt.Sprintf("phase %d", p)
}
