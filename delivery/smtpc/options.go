package smtpc

import (
	"time"
)

// Options say how a connection speaks.
type Options struct {
	// Hostname is the argument of EHLO: a name, or an address literal.
	Hostname string
	Timeouts Timeouts
	// LMTP speaks that instead of SMTP (RFC 2033): a server that delivers itself
	// has a word for each recipient.
	LMTP bool
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
