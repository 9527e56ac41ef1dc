package smtpc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"quorumta/internal/mail"
)

// Options say how a connection speaks.
type Options struct {
	// Hostname is the argument of EHLO: a name, or an address literal.
	Hostname string
	Timeouts Timeouts
	// Chunked is the size in bytes from which on content goes by BDAT (RFC
	// 3030) to a server that offers it; 0 means 256 KiB, less: none does.
	Chunked int64
}

// Timeouts bound the phases of a session; each zero means the value of RFC
// 5321, section 4.5.3.2.
type Timeouts struct {
	Greeting time.Duration // 5 min, for the greeting
	Hello    time.Duration // 5 min, for EHLO, HELO, STARTTLS and RSET
	TLS      time.Duration // 1 min, for the handshake
	Mail     time.Duration // 5 min
	Rcpt     time.Duration // 5 min
	Data     time.Duration // 2 min, for the reply to DATA
	Block    time.Duration // 3 min, for each block that is written, and the reply to a chunk
	Dot      time.Duration // 10 min, for the reply to the final dot
	Quit     time.Duration // 5 s: nothing depends on it
}

// filled is t with its zeroes replaced.
func (t Timeouts) filled() Timeouts {
	for _, f := range []struct {
		d     *time.Duration
		value time.Duration
	}{
		{&t.Greeting, 5 * time.Minute},
		{&t.Hello, 5 * time.Minute},
		{&t.TLS, time.Minute},
		{&t.Mail, 5 * time.Minute},
		{&t.Rcpt, 5 * time.Minute},
		{&t.Data, 2 * time.Minute},
		{&t.Block, 3 * time.Minute},
		{&t.Dot, 10 * time.Minute},
		{&t.Quit, 5 * time.Second},
	} {
		if *f.d == 0 {
			*f.d = f.value
		}
	}
	return t
}

// Phase is how far a session has come.
type Phase uint8

// The phases, in order.
const (
	PhaseGreeting Phase = iota + 1
	PhaseHello
	PhaseTLS
	PhaseMail
	PhaseRcpt
	PhaseData
	PhaseContent
	PhaseDot
)

// String is the phase's name as errors show it.
func (p Phase) String() string {
	names := [...]string{"connection", "greeting", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "content", "final dot"}
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

// Message is what one transaction sends.
type Message struct {
	From       mail.Address
	Recipients []mail.Recipient
	Return     mail.Return
	EnvID      string
	EightBit   bool
	UTF8       bool
	// Size is the content's length in bytes.
	Size    int64
	Content io.Reader
	// Plain has the content go by DATA whatever the server offers: for a
	// further attempt, where BDAT may have been what went wrong.
	Plain bool
	// BeforeDot is called once, after all content has been written and before
	// the final dot: the last look. If it fails there is no dot and the
	// connection is closed. Nil agrees.
	BeforeDot func() error
}

// Result is what the server said to a transaction. A reply with Code 0 was
// never given.
type Result struct {
	// Mail, Rcpts (one for each recipient) and Data are the replies to the
	// commands; Data is 354 where the content went out by DATA, and was never
	// given where it went by BDAT.
	Mail  mail.Reply
	Rcpts []mail.Reply
	Data  mail.Reply
	// Final is the reply to the final dot, or to BDAT 0 LAST in its place; or
	// that to the first chunk which was refused.
	Final mail.Reply
	// Dot says that the final dot, or BDAT 0 LAST, may have reached the server.
	Dot bool
	// Sent counts the bytes of content written, as they were before
	// dot-stuffing.
	Sent int64
}

// accepted reports whether a recipient was.
func (r *Result) accepted() bool {
	for _, reply := range r.Rcpts {
		if reply.Positive() {
			return true
		}
	}
	return false
}
