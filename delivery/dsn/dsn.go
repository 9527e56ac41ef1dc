// Package dsn writes delivery status notifications: multipart/report messages
// (RFC 6522) with a message/delivery-status part (RFC 3464), under the wishes
// that the sender gave with the message (RFC 3461).
package dsn

import (
	"io"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// Kind is what a report is about.
type Kind uint8

// The kinds of reports; each goes out only to those who want it by NOTIFY.
const (
	Failure Kind = 1
	Delay   Kind = 2
	Success Kind = 3
)

// Action is an Action field's value (RFC 3464, section 2.3.3).
type Action string

// The actions.
const (
	Failed    Action = "failed"
	Delayed   Action = "delayed"
	Delivered Action = "delivered"
	Relayed   Action = "relayed"
	Expanded  Action = "expanded"
)

// Status is what became of one recipient.
type Status struct {
	// N is the recipient's index in the envelope.
	N int
	// Action is "" for that of the report's kind: failed, delayed, relayed.
	Action Action
	// Reply is the last one; Code 0 where no server answered.
	Reply mail.Reply
	// Host is the server that replied or was tried; "" if it was ourselves.
	Host string
	// Error is what failed.
	Error event.ErrorKind
	// Expired says that the retry time has ended.
	Expired bool
	// LastAttempt is zero if there was none.
	LastAttempt time.Time
	// RetryUntil is when a delayed recipient will fail; zero if unknown.
	RetryUntil time.Time
}

// Builder writes the reports of one node.
type Builder struct {
	// Hostname is in From (MAILER-DAEMON@hostname) and Reporting-MTA.
	Hostname string
	// Postmaster is named as whom to ask; null: postmaster@hostname.
	Postmaster mail.Address
	// MaxBody is the largest content returned whole; 0 means 50 KB.
	MaxBody int64
	// Return is for senders that gave no RET; unset: headers.
	Return mail.Return
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Build writes the report about the recipients, to be put into
// queue.Outcome.Report; content is the message's, read only as far as it is
// returned. It is nil, without an error, where nobody wants one: the sender is
// null, or NOTIFY of none of the recipients asks for it.
func (b *Builder) Build(kind Kind, m *state.Message, rcpts []Status, content io.Reader) (*event.Accepted, error) {
	panic("dsn: Build is not built")
}
