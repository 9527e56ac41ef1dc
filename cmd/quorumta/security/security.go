// Package security wires what decides about TLS with mail hosts: DNS, the
// policies of MTA-STS and the reports of RFC 8460, with the notes of the queue
// as the memory of all nodes.
package security

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"quorumta/internal/config"
	"quorumta/internal/dns"
	"quorumta/internal/mail"
	"quorumta/internal/tlspolicy"
	"quorumta/internal/tlspolicy/mtasts"
	"quorumta/internal/tlspolicy/tlsrpt"
	"quorumta/queue"
)

// Security is what a node knows of TLS with others; safe for concurrent use.
type Security struct {
	queue    *queue.Queue
	log      *slog.Logger
	resolver atomic.Pointer[dns.Resolver]
	sts      *mtasts.Source
	reports  *tlsrpt.Reporter
	sessions metric.Int64Counter
}

// New makes it; Set comes before anything else.
func New(q *queue.Queue, log *slog.Logger, meter metric.Meter) (*Security, error) {
	s := &Security{queue: q, log: log, reports: tlsrpt.NewReporter()}
	var err error
	if s.sessions, err = meter.Int64Counter("quorumta_delivery_tls_sessions_total",
		metric.WithDescription("Sessions with MX hosts, also those that were forbidden, by the policy that held (tlsa, sts, no-policy-found) and how TLS went: ok, or a result type of RFC 8460")); err != nil {
		return nil, err
	}
	s.sts = mtasts.New(mtasts.Options{TXT: s.texts, Dial: s.dial, Shared: policies{q}, Log: log})
	return s, nil
}

// Set takes over what a file says.
func (s *Security) Set(f *config.File, resolver *dns.Resolver) {
	s.resolver.Store(resolver)
	if f.TLSReports.From == (config.Address{}) {
		s.reports.Set(tlsrpt.Options{})
		return
	}
	from := mail.Address(f.TLSReports.From)
	contact := f.TLSReports.Contact
	if contact == "" {
		contact = from.String()
	}
	s.reports.Set(tlsrpt.Options{
		From: from.String(), Contact: contact, Submitter: strings.ToLower(f.Hostname), Node: f.Node,
		TXT: s.texts, Submit: s.submit, Dial: s.dial, Ledger: newLedger(s.queue), Log: s.log,
	})
}

// Checker asks by the resolver that was set last.
func (s *Security) Checker(resolver *dns.Resolver) *tlspolicy.Checker {
	return &tlspolicy.Checker{Resolver: resolver, STS: s.sts, Count: s.count}
}

// count counts a session, for reports and for who runs the relay.
func (s *Security) count(x tlsrpt.Session) {
	result := "ok"
	if x.Failed != nil {
		result = string(x.Failed.Result)
	}
	s.sessions.Add(context.Background(), 1, metric.WithAttributes(
		attribute.String("policy", string(x.Policy.Type)), attribute.String("result", result)))
	s.reports.Count(x)
}

// Run keeps policies fresh and sends reports until ctx ends.
func (s *Security) Run(ctx context.Context) error {
	refreshed := make(chan error, 1)
	go func() { refreshed <- s.sts.Run(ctx) }()
	err := s.reports.Run(ctx)
	if e := <-refreshed; err == nil {
		err = e
	}
	return err
}

func (s *Security) texts(ctx context.Context, name string) ([]string, error) {
	texts, _, err := s.resolver.Load().LookupTXT(ctx, name)
	if errors.Is(err, dns.ErrNotFound) || errors.Is(err, dns.ErrNoData) {
		return nil, nil
	}
	return texts, err
}

// dial connects to a web server whose addresses come from the resolver that
// mail is routed by.
func (s *Security) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, _, err := s.resolver.Load().LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	for _, addr := range addrs {
		var conn net.Conn
		if conn, err = d.DialContext(ctx, network, net.JoinHostPort(addr.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// submit puts a report into our own queue.
func (s *Security) submit(ctx context.Context, from, to string, content []byte) error {
	sender, err := mail.ParseAddress(from)
	if err != nil {
		return err
	}
	recipient, err := mail.ParseAddress(to)
	if err != nil {
		return err
	}
	upload, err := s.queue.Begin(ctx, func(mail.MessageID) []byte { return nil })
	if err != nil {
		return err
	}
	if _, err := upload.Write(content); err != nil {
		upload.Abort()
		return err
	}
	_, err = upload.Commit(queue.Submission{
		Envelope: mail.Envelope{
			From: sender, Recipients: []mail.Recipient{{Address: recipient, Notify: mail.NotifyNever}},
			TLSOptional: s.queue.MayWish(),
		},
		Subject: "Report Domain",
	})
	return err
}
