package wire

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"quorumta/smtp/wire/parameter"
)

// Backend makes sessions.
type Backend interface {
	// NewSession is called from the connection's goroutine at each EHLO and
	// HELO, so also after STARTTLS; the session before gets Logout first. An
	// error is told the client in the place of the welcome.
	NewSession(c *Conn) (gosmtp.Session, error)
}

// Options says how connections are spoken with. It is shared by connections
// and neither copied nor changed. Sizes and counts must be positive unless zero is explained.
type Options struct {
	// Hostname stands in the greeting and in the answer to EHLO.
	Hostname string
	// Backend makes the sessions.
	Backend Backend
	// TLS is used by STARTTLS; nil: it is not offered.
	TLS *tls.Config
	// RequireTLS refuses MAIL in the clear (530 5.7.0).
	RequireTLS bool
	// MayRequireTLS says whether senders may demand REQUIRETLS (RFC 8689) now;
	// it is offered over TLS alone. Nil: they may not.
	MayRequireTLS func() bool
	// Offers says what the client of a connection, whose context is given, is
	// offered of what not every client is. Nil: nothing.
	Offers func(context.Context) parameter.Offers
	// Now is the wall clock; nil: time.Now.
	Now func() time.Time
	// MaxMessage is the largest content in bytes, announced by SIZE.
	MaxMessage int64
	// MaxRecipients is announced by LIMITS; further ones get 452 4.5.3.
	MaxRecipients int
	// MaxCommand is the longest command line in octets with its CR LF.
	MaxCommand int
	// MaxLine is the longest line of content in octets with its CR LF.
	MaxLine int
	// MaxErrors closes the connection when so many replies in a row since the
	// last accepted message were 5yz; zero: never.
	MaxErrors int
	// Idle is how long a command, or the next octets of content, may take.
	Idle time.Duration
	// MinRate is how fast content must come on average, octets per second,
	// once Idle has passed; zero: 500.
	MinRate int64
	// Observe is called for each reply with the command that it answers, in
	// upper case: one of the known verbs, "CONNECT" for the greeting, "DOT" for
	// what answers content, else "?". Nil: nobody.
	Observe func(verb string, code int)
	// Log gets panics of sessions and failed handshakes; nil: slog.Default.
	Log *slog.Logger

	buffers buffers // of the readers
}

const (
	defaultMinRate = 500
	// handshakeTime is what TLS may take.
	handshakeTime = 30 * time.Second
	// writeTime is what a client may take to read replies.
	writeTime = time.Minute
	// drainingIdle replaces a longer Idle while the server drains.
	drainingIdle = 30 * time.Second
)

func (o *Options) minRate() int64 {
	if o.MinRate > 0 {
		return o.MinRate
	}
	return defaultMinRate
}

func (o *Options) mayRequireTLS() bool { return o.MayRequireTLS != nil && o.MayRequireTLS() }

func (o *Options) offers(ctx context.Context) parameter.Offers {
	if o.Offers == nil {
		return parameter.Offers{}
	}
	return o.Offers(ctx)
}

func (o *Options) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

func (o *Options) log() *slog.Logger {
	if o.Log != nil {
		return o.Log
	}
	return slog.Default()
}

func (o *Options) observe(verb string, code int) {
	if o.Observe != nil {
		o.Observe(verb, code)
	}
}
