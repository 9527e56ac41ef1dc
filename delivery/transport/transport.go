package transport

import (
	"context"
	"io"

	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

// Opener is a transport of the configuration that needs no hosts.
type Opener interface {
	// Open opens what carries messages. It is called from many goroutines at
	// once; each uses what it gets alone. An error says that nothing can be
	// delivered now by this transport, whatever the message: an *Error, with the
	// words of who refused where there are some.
	Open(ctx context.Context) (Conn, error)
}

// Conn carries messages, one after the other. One goroutine at a time uses it.
type Conn interface {
	// Peer is where messages go by it.
	Peer() Peer
	// Send carries out one delivery. The Result holds what was said until then
	// also when it fails, with an *Error; the Conn is of no use then. Nothing of
	// it goes on when it returns. The end of ctx interrupts it.
	Send(ctx context.Context, m *Message) (Result, error)
	// Closed reports whether it can carry no further message.
	Closed() bool
	// Leave ends it, politely if it is still open. It is called once.
	Leave(ctx context.Context)
}

// Peer is the other side of a Conn, as the record and the log name it.
type Peer struct {
	// Host is a host's name, or what stands for one: a socket, a directory, a
	// command. IP is "" for what is on this machine.
	Host, IP string
	// TLS is version, cipher suite and how the peer was verified; "" in the
	// clear.
	TLS string
	// Delivers: what is taken is delivered and not relayed, which a report of
	// success says (RFC 3464, section 2.3.3).
	Delivers bool
	// RelaysDSN: the peer promises to report success itself (RFC 3461).
	RelaysDSN bool
	// Recipients is the most that a message may have; 0: no bound.
	Recipients int
	// SevenBit: it takes no octets above 127 in content (RFC 6152).
	SevenBit bool
	// Messages is how many the Conn is to carry; 0: as many as any other.
	Messages int
}

// Message is what one delivery sends.
type Message struct {
	ID         mail.MessageID
	From       mail.Address
	Recipients []mail.Recipient
	Return     mail.Return
	EnvID      string
	EightBit   bool
	UTF8       bool
	// RequireTLS has it go to a server alone that promises the same (RFC 8689).
	RequireTLS bool
	// Priority is told to servers that understand it (RFC 6710).
	Priority mail.Priority
	// Size is the content's length in bytes.
	Size    int64
	Content io.Reader
	// Again has what a transport may ask for that needs more than this.
	Again Source
	// Plain has the content go by DATA whatever the server offers: for a
	// further attempt, where BDAT may have been what went wrong.
	Plain bool
	// BeforeDot is called once, after all content has been written and before
	// the final dot: the last look. If it fails there is no dot, and the Conn is
	// of no use any more. Nil agrees.
	BeforeDot func() error
}

// Look is the last look, for a transport that has nothing to close if it fails.
// The error is an *Error.
func (m *Message) Look() error {
	if m.BeforeDot == nil {
		return nil
	}
	if err := m.BeforeDot(); err != nil {
		return &Error{Phase: PhaseContent, Err: err, Ours: true}
	}
	return nil
}

// Source is where a Message comes from. Only who sends the message asks, and
// only until Send returns.
type Source interface {
	// Open opens the content from its beginning.
	Open() (io.ReadCloser, error)
	// Facts are what expressions may use of the i-th of the message's
	// recipients. They are not to be changed.
	Facts(i int) *policy.Facts
}

// Result is what was said to a message. A reply with Code 0 was never given.
type Result struct {
	// Mail, Rcpts (one for each recipient) and Data are the replies to the
	// commands of SMTP; Data is 354 where the content went out by DATA, and was
	// never given where it went by BDAT. A transport without such commands gives
	// none, but Rcpts has its length.
	Mail  mail.Reply
	Rcpts []mail.Reply
	Data  mail.Reply
	// Final is the reply to the final dot, or to BDAT 0 LAST in its place; or
	// that to the first chunk which was refused. It is for all recipients.
	Final mail.Reply
	// Finals are the last words to each recipient, where a transport has those
	// (RFC 2033, section 4.2); nil where Final is for all.
	Finals []mail.Reply
	// Dot says that the point of no return may have been passed: the final dot,
	// or BDAT 0 LAST, may have reached the server.
	Dot bool
	// Sent counts the bytes of content written, as they were before
	// dot-stuffing.
	Sent int64
}

// FinalOf is the last word to the i-th recipient.
func (r *Result) FinalOf(i int) mail.Reply {
	if r.Finals != nil {
		return r.Finals[i]
	}
	return r.Final
}

// Worked reports whether the message was taken for somebody.
func (r *Result) Worked() bool {
	for _, reply := range r.Finals {
		if reply.Positive() {
			return true
		}
	}
	return r.Final.Positive()
}

// Accepted reports whether a recipient was.
func (r *Result) Accepted() bool {
	for _, reply := range r.Rcpts {
		if reply.Positive() {
			return true
		}
	}
	return false
}
