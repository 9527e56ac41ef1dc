package load

import (
	"context"
	"errors"
	"net"
	"time"
)

// Options says what load is made. Zero means a default only where it is said.
type Options struct {
	// Targets are the nodes, host:port. Sessions are spread over them evenly.
	Targets []string
	// Sessions is how many connections are used at once; 0 means 50.
	Sessions int
	// Rate is how many messages a second are due, over all sessions; 0 means
	// as fast as the sessions go. A session that comes late sends at once, so
	// a stall does not thin the load out.
	Rate float64
	// Duration and Count end the run, whichever comes first; 0 means not at
	// all. The end of the context ends it too; messages at hand are finished.
	Duration time.Duration
	Count    int64
	// Size is the bytes of a message with its header; 0 means 10 KB.
	Size int
	// Recipients is how many each message has; 0 means 1.
	Recipients int
	// Domains are the recipients' domains, in turn; nil means sink.example.
	Domains []string
	// From is the reverse-path; "" means load@bench.example.
	From string
	// PerConnection is how many messages a connection carries; 0 means 100.
	PerConnection int
	// ConnectTimeout bounds connect, greeting and EHLO together; 0 means 1 s.
	ConnectTimeout time.Duration
	// CommandTimeout bounds the replies up to 354; 0 means 10 s.
	CommandTimeout time.Duration
	// DotTimeout bounds the reply to the final dot; 0 means 60 s.
	DotTimeout time.Duration
	// Record is called for every message when its fate is known, one call at
	// a time, from the sessions' goroutines. Nil: nobody wants to know.
	Record func(Record)
	// Dial makes the connections; nil means TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Class is what became of a message.
type Class string

// The classes.
const (
	// Acknowledged: 2yz to the final dot.
	Acknowledged Class = "acknowledged"
	// Transient: 4yz to the final dot, or before it from every target.
	Transient Class = "4xx"
	// Permanent: 5yz, at whatever stage.
	Permanent Class = "5xx"
	// Unknown: the connection broke, or nothing came, after the final dot.
	Unknown Class = "unknown"
	// Unsent: the run ended before any target took it.
	Unsent Class = "unsent"
)

// Record is the fate of one message.
type Record struct {
	// ID is the run's id, "-", and the message's number: the X-Bench-ID field
	// and, with "@bench.example", the Message-ID.
	ID    string `json:"id"`
	Class Class  `json:"class"`
	// QueueID is the id in the reply to the final dot; "" if there is none.
	QueueID string `json:"queue_id,omitempty"`
	// Target is the node that decided it; "" if none answered.
	Target string `json:"target,omitempty"`
	// Stage is where the last reply belongs: connect, mail, rcpt, data, dot.
	Stage string `json:"stage,omitempty"`
	// Code and Reply are the last reply; Reply is "" when acknowledged.
	Code  int    `json:"code,omitempty"`
	Reply string `json:"reply,omitempty"`
	// To are the recipients, Refused those of them that were refused.
	To      []string `json:"to"`
	Refused []string `json:"refused,omitempty"`
	// Sent is when the final dot had been handed over; zero if it was not.
	Sent time.Time `json:"sent,omitzero"`
	// At is when the fate was known.
	At time.Time `json:"at"`
	// TookMicros is from Sent to the reply, in microseconds.
	TookMicros int64 `json:"took_us,omitempty"`
	// Tries counts the targets it was offered to.
	Tries int `json:"tries"`
}

var errNoTargets = errors.New("no targets: name the nodes' SMTP addresses, host:port")

func (o Options) withDefaults() (Options, error) {
	if len(o.Targets) == 0 {
		return o, errNoTargets
	}
	o.Sessions = defaultTo(o.Sessions, 50)
	o.Size = defaultTo(o.Size, 10_000)
	o.Recipients = defaultTo(o.Recipients, 1)
	o.PerConnection = defaultTo(o.PerConnection, 100)
	o.From = defaultTo(o.From, "load@bench.example")
	o.ConnectTimeout = defaultTo(o.ConnectTimeout, time.Second)
	o.CommandTimeout = defaultTo(o.CommandTimeout, 10*time.Second)
	o.DotTimeout = defaultTo(o.DotTimeout, time.Minute)
	if len(o.Domains) == 0 {
		o.Domains = []string{"sink.example"}
	}
	if o.Record == nil {
		o.Record = func(Record) {}
	}
	if o.Dial == nil {
		var d net.Dialer
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return d.DialContext(ctx, "tcp", address)
		}
	}
	return o, nil
}

func defaultTo[T comparable](v, instead T) T {
	var zero T
	if v == zero {
		return instead
	}
	return v
}
