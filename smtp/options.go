package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"quorumta/internal/mail"
	"quorumta/internal/mailauth/returnpath"
	"quorumta/internal/policy"
	"quorumta/internal/rewrite"
	"quorumta/queue"
)

// Options says how mail is received. Zero means a default only where it is
// said.
type Options struct {
	// Queue takes the messages.
	Queue *queue.Queue
	// Hostname stands in the greeting, the answer to EHLO and in Received.
	Hostname string
	// Listeners are the ports.
	Listeners []Listener
	// TLS is needed unless all listeners have TLSOff. Its GetCertificate may
	// change the certificate at any time.
	TLS *tls.Config
	// Limits bound what clients may do; Server.SetLimits exchanges them.
	Limits Limits
	// Policy decides.
	Policy Policy
	// Postmaster gets the mail for <postmaster>; the zero Address means
	// postmaster at Hostname.
	Postmaster mail.Address
	// Listen opens the listeners; nil means TCP.
	Listen func(address string) (net.Listener, error)
	// Reverse finds the verified name of a client, "" if it has none; nil: no
	// client has. It should take five seconds at most.
	Reverse func(context.Context, netip.Addr) string
	// Pressed reports that memory is short: new connections are turned away with
	// 421 4.3.2, and content is taken slower. It is asked often, from any number
	// of goroutines; nil: it never is.
	Pressed func() bool
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
	// Log gets what happens; nil means slog.Default.
	Log *slog.Logger
	// Tracer and Meter; nil means none.
	Tracer trace.Tracer
	Meter  metric.Meter
}

// Policy is what decides about mail; Server.SetPolicy exchanges it.
type Policy struct {
	// Env holds the nets that Listener.Proxy and Trusted name.
	Env *policy.Env
	// Rcpt are the rules of the stage rcpt; without an accepting one nothing
	// is relayed.
	Rcpt []policy.Rule
	// Priorities say how urgent messages are, whatever their clients say: the first
	// whose condition holds. They may look at the header.
	Priorities []PriorityRule
	// Rewrites change addresses of the envelope.
	Rewrites rewrite.Rules
	// Trusted names the net whose clients' traceparent fields are believed;
	// "" means nobody's.
	Trusted string
	// Returns recognises the reverse-paths that mail went out with; nil: there is
	// nothing about them.
	Returns *returnpath.Rules
}

// PriorityRule says how urgent some messages are.
type PriorityRule struct {
	Name     string
	If       *policy.Condition
	Priority mail.Priority
}

// Listener is a port.
type Listener struct {
	// Name is what policy, metrics and messages call it.
	Name string
	// Address is host:port; an empty host means all, port 0 any free one.
	Address string
	// TLS says what it does about TLS; "" means TLSOff.
	TLS TLSMode
	// Config is what it shows of certificates; nil means Options.TLS.
	Config *tls.Config
	// Proxy names the net whose clients are balancers: they must begin with a
	// PROXY header, version 1 or 2, which is believed. "" means that nobody's
	// header is.
	Proxy string
	// Hold is for how long clients of the net HoldFrom may have messages held
	// back (RFC 4865), whole seconds; zero: nobody may.
	Hold     time.Duration
	HoldFrom string
	// PriorityFrom is the net whose clients may say how urgent their messages are
	// (RFC 6710); "" for nobody.
	PriorityFrom string
}

// TLSMode says what a listener does about TLS.
type TLSMode string

// The modes of TLS.
const (
	TLSOff      TLSMode = "off"
	TLSOffer    TLSMode = "offer"    // STARTTLS (RFC 3207)
	TLSRequire  TLSMode = "require"  // no MAIL before STARTTLS
	TLSImplicit TLSMode = "implicit" // from the first octet on (RFC 8314)
)

// Limits bound what clients may do. Zero means the default.
type Limits struct {
	// Message is the largest content in bytes; 50 MB.
	Message int64
	// Recipients per message; 1000.
	Recipients int
	// Connections at a time, over all listeners; 2000.
	Connections int
	// PerClient are connections at a time from one IPv4 address or one IPv6
	// network of 64 bits; 50.
	PerClient int
	// Received is how many Received fields a message may bring; 50.
	Received int
	// CommandLine is the longest command line in octets; 2048.
	CommandLine int
	// LineIn is the longest line of content in octets; 1 MB.
	LineIn int
	// Idle is how long a client may be silent; 300 s.
	Idle time.Duration
	// Errors in a row end a connection; 20.
	Errors int
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.Message, 50_000_000)
	setDefault(&l.Recipients, 1000)
	setDefault(&l.Connections, 2000)
	setDefault(&l.PerClient, 50)
	setDefault(&l.Received, 50)
	setDefault(&l.CommandLine, 2048)
	setDefault(&l.LineIn, 1_000_000)
	setDefault(&l.Idle, 300*time.Second)
	setDefault(&l.Errors, 20)
	return l
}

func setDefault[T comparable](v *T, d T) {
	if *v == *new(T) {
		*v = d
	}
}

// complete checks the options and fills in the defaults.
func (o *Options) complete() error {
	if o.Queue == nil || o.Policy.Env == nil || o.Hostname == "" {
		return errors.New("smtp: Queue, Policy.Env and Hostname are needed")
	}
	for i := range o.Listeners {
		l := &o.Listeners[i]
		setDefault(&l.TLS, TLSOff)
		switch l.TLS {
		case TLSOff:
		case TLSOffer, TLSRequire, TLSImplicit:
			if l.Config == nil {
				l.Config = o.TLS
			}
			if l.Config == nil {
				return fmt.Errorf("listener %s: tls: %s needs a certificate", l.Name, l.TLS)
			}
		default:
			return fmt.Errorf("listener %s: tls: %q is none of off, offer, require, implicit", l.Name, l.TLS)
		}
	}
	o.Limits = o.Limits.withDefaults()
	if o.Postmaster.IsNull() {
		o.Postmaster = mail.Address{Local: "postmaster", Domain: o.Hostname}
	}
	if o.Listen == nil {
		o.Listen = func(address string) (net.Listener, error) { return net.Listen("tcp", address) }
	}
	if o.Reverse == nil {
		o.Reverse = func(context.Context, netip.Addr) string { return "" }
	}
	if o.Pressed == nil {
		o.Pressed = func() bool { return false }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Tracer == nil {
		o.Tracer = tracenoop.NewTracerProvider().Tracer("")
	}
	if o.Meter == nil {
		o.Meter = metricnoop.NewMeterProvider().Meter("")
	}
	return nil
}
