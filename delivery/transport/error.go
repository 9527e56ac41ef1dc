package transport

import (
	"errors"
	"fmt"
	"net"

	"quorumta/internal/mail"
)

// Phase is how far a session has come; 0 is before it, while connecting.
type Phase uint8

// The phases, in order.
const (
	PhaseGreeting Phase = iota + 1
	PhaseHello
	PhaseTLS
	PhaseAuth
	PhaseMail
	PhaseRcpt
	PhaseData
	PhaseContent
	PhaseDot
)

// String is the phase's name as errors show it.
func (p Phase) String() string {
	names := [...]string{"connection", "greeting", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "content", "final dot"}
	if int(p) < len(names) {
		return names[p]
	}
	return "session"
}

// What an *Error can wrap, beside errors of the network.
var (
	// ErrProtocol: the server did not speak SMTP.
	ErrProtocol = errors.New("server does not speak SMTP")
	// ErrNoTLS: the server does not offer STARTTLS.
	ErrNoTLS = errors.New("server does not offer STARTTLS")
)

// Error is the end of a connection. The connection is closed.
type Error struct {
	Phase Phase
	// Reply is the server's last word: a refusal of the session, a 421; the
	// zero Reply if there was none.
	Reply mail.Reply
	// Err is nil where Reply says it all.
	Err error
	// Ours says that the server is not to blame: the content could not be
	// read, BeforeDot said no, or the context ended.
	Ours bool
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return fmt.Sprintf("%s: %s", e.Phase, e.Reply)
	case e.Reply.Code != 0:
		return fmt.Sprintf("%s: %s (%v)", e.Phase, e.Reply, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Phase, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the server fell silent.
func (e *Error) Timeout() bool {
	var ne net.Error
	return errors.As(e.Err, &ne) && ne.Timeout()
}

// Lost reports whether the server, or the network, closed the connection.
func (e *Error) Lost() bool {
	return !e.Ours && e.Err != nil && !e.Timeout() && !errors.Is(e.Err, ErrProtocol) && !errors.Is(e.Err, ErrNoTLS)
}
