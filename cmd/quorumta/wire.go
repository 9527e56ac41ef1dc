package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"go.opentelemetry.io/otel/metric"

	"quorumta/cmd/quorumta/archive"
	"quorumta/delivery"
	"quorumta/delivery/dsn"
	"quorumta/delivery/retry"
	"quorumta/delivery/route"
	"quorumta/delivery/site"
	"quorumta/delivery/smtpc"
	"quorumta/internal/admin"
	"quorumta/internal/config"
	"quorumta/internal/dns"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/queue"
	"quorumta/queue/state"
	"quorumta/smtp"
)

// storeMemory bounds memtables and caches of a node's stores, bytes. With C's
// allocator under them they may take twice as much.
const storeMemory = 192 << 20

// wire makes the rooms, inner ones first.
func (n *node) wire() error {
	if err := n.wireCluster(); err != nil {
		return err
	}
	spool := filepath.Join(n.file.Data, "spool")
	if err := os.MkdirAll(spool, 0o700); err != nil {
		return fmt.Errorf("make the spool: %w", err)
	}
	n.queue = queue.New(n.cluster, queue.Options{
		SubmitWait: time.Duration(n.file.SubmitWait),
		History:    time.Duration(n.file.Keep.History),
		SpoolDir:   spool,
		Filter:     filter(n.file.Env()),
		Level:      n.level,
		Log:        n.log,
		Tracer:     n.telemetry.Tracer("queue"),
		Meter:      n.telemetry.Meter("queue"),
	})
	n.admin = admin.NewServer(n.cluster, n.queue, n.beginDrain)
	n.admin.Offer(n.ca, archive.New(n.cluster).Write)
	if err := n.wireDelivery(); err != nil {
		return err
	}
	return n.wireSMTP()
}

func (n *node) wireDelivery() error {
	f := n.file
	servers, err := resolvers(f.DNS.Servers)
	if err != nil {
		return err
	}
	resolver, err := dns.New(dns.Options{Servers: servers})
	if err != nil {
		return err
	}
	table, err := routers(f, resolver)
	if err != nil {
		return err
	}
	rules, err := retries(f)
	if err != nil {
		return err
	}
	n.delivery, err = delivery.New(delivery.Options{
		Process:  n.queue.Process(),
		Queue:    n.queue,
		Router:   table,
		Retry:    rules,
		Warnings: warnings(f),
		DSN: &dsn.Builder{
			Hostname: f.Hostname, Postmaster: mail.Address(f.Postmaster),
			MaxBody: int64(f.DSN.MaxBody), Return: returns(f.DSN.Return),
		},
		Sites:  site.Options{SMTP: smtpc.Options{Hostname: f.Hostname}},
		Log:    n.log,
		Tracer: n.telemetry.Tracer("delivery"),
		Meter:  n.telemetry.Meter("delivery"),
	})
	return err
}

func (n *node) wireSMTP() error {
	f := n.file
	rules, err := policyOf(f)
	if err != nil {
		return err
	}
	o := smtp.Options{
		Queue:    n.queue,
		Hostname: f.Hostname,
		Node:     f.Node,
		Limits: smtp.Limits{
			Message: int64(f.Limits.Message), Recipients: f.Limits.Recipients,
			Connections: f.Limits.Connections, PerClient: f.Limits.PerClient, Received: f.Limits.Received,
		},
		Policy:     rules,
		Postmaster: mail.Address(f.Postmaster),
		Log:        n.log,
		Tracer:     n.telemetry.Tracer("smtp"),
		Meter:      n.telemetry.Meter("smtp"),
	}
	if f.TLS.Cert != "" {
		outside, err := newCertificate(f.TLS.Cert, f.TLS.Key, n.log)
		if err != nil {
			return err
		}
		o.TLS = outside.server()
	}
	for _, l := range f.Listeners {
		o.Listeners = append(o.Listeners, smtp.Listener{Name: l.Name, Address: l.Address, TLS: smtp.TLSMode(l.TLS), Proxy: l.Proxy})
	}
	n.smtp, err = smtp.New(o)
	return err
}

// reload reads the file again. Policy, nets and lists take effect at once;
// what else has changed needs a restart, which costs nothing in a cluster.
func (n *node) reload() {
	f, err := config.Load(n.file.Path(), n.file.Node)
	var rules smtp.Policy
	if err == nil {
		rules, err = policyOf(f)
	}
	if err != nil {
		n.log.Error("the configuration is not taken: the old one stays", "error", err)
		return
	}
	n.smtp.SetPolicy(rules)
	n.log.Info("policy, nets and lists reloaded; other changes take a restart")
}

// expiryWarning is how long ahead of its end a certificate is spoken of.
const expiryWarning = 30 * 24 * time.Hour

func (n *node) warnExpiry() {
	if left := time.Until(n.inside.expires()); left < expiryWarning {
		n.log.Warn("the node's certificate expires: sign a new one with the cluster's CA; it is reloaded without a restart",
			"expires", n.inside.expires(), "file", n.file.Cluster.TLS.Cert)
	}
}

func (n *node) countExpiry() error {
	_, err := n.telemetry.Meter("raft").Int64ObservableGauge("quorumta_raft_certificate_expiry",
		metric.WithUnit("s"), metric.WithDescription("Time until the node's certificate expires."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(int64(time.Until(n.inside.expires()).Seconds()))
			return nil
		}))
	return err
}

// policyOf compiles the rules of a file.
func policyOf(f *config.File) (smtp.Policy, error) {
	p := smtp.Policy{Env: f.Env(), Trusted: trusted(f)}
	for _, r := range f.Policy.RCPT {
		c, err := f.Env().Condition(r.If)
		if err != nil {
			return p, fmt.Errorf("policy rule %s: %w", r.Name, err)
		}
		p.Rcpt = append(p.Rcpt, policy.Rule{Name: r.Name, If: c, Do: policy.Verdict(r.Do), Reply: mail.Reply(r.Reply)})
	}
	return p, nil
}

// trusted is the net whose trace contexts are believed: by its name, or
// loopback in a cluster on one machine.
func trusted(f *config.File) string {
	for _, name := range []string{"trusted", "loopback"} {
		if f.Nets[name] != nil {
			return name
		}
	}
	return ""
}

func routers(f *config.File, resolver *dns.Resolver) (*route.Table, error) {
	o := route.Options{Hostname: f.Hostname, Resolver: resolver}
	for _, r := range f.Routers {
		c, err := f.Env().Condition(r.If)
		if err != nil {
			return nil, fmt.Errorf("router %s: %w", r.Name, err)
		}
		o.Routers = append(o.Routers, route.Router{Name: r.Name, If: c, Hosts: r.Hosts, MX: r.MX != nil, TLS: route.TLSMode(r.TLS)})
	}
	return route.New(o)
}

func retries(f *config.File) (*retry.Rules, error) {
	var rules []retry.Rule
	for i, r := range f.Retry {
		c, err := f.Env().Condition(r.If)
		if err != nil {
			return nil, fmt.Errorf("retry rule %s: %w", r.Name, err)
		}
		rule := retry.Rule{Name: r.Name, If: c}
		for j, text := range r.Steps {
			step, err := retry.ParseStep(text)
			if err != nil {
				return nil, f.Fault(fmt.Sprintf("retry[%d].steps[%d]", i, j), err.Error())
			}
			rule.Steps = append(rule.Steps, step)
		}
		rules = append(rules, rule)
	}
	return retry.New(rules, nil)
}

func warnings(f *config.File) retry.Warnings {
	var w retry.Warnings
	for _, d := range f.DSN.WarnAfter {
		w = append(w, time.Duration(d))
	}
	return w
}

func returns(s string) mail.Return {
	if s == "full" {
		return mail.ReturnFull
	}
	return mail.ReturnHeaders
}

func resolvers(servers []string) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, s := range servers {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.AddrPortFrom(a, 53))
			continue
		}
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return nil, errors.New("dns.servers: " + s + " is not an address")
		}
		out = append(out, ap)
	}
	return out, nil
}

// filter compiles the expressions of "queue list --if".
func filter(env *policy.Env) func(string) (func(*state.Message) (bool, error), error) {
	return func(expr string) (func(*state.Message) (bool, error), error) {
		c, err := env.MessageCondition(expr)
		if err != nil {
			return nil, err
		}
		return func(m *state.Message) (bool, error) {
			return c.Eval(facts(m, time.Now()))
		}, nil
	}
}

// facts is an open message as conditions see it.
func facts(m *state.Message, now time.Time) *policy.MessageFacts {
	f := &policy.MessageFacts{
		Sender: m.Accepted.Envelope.From, Size: m.Accepted.Size, Age: now.Sub(m.At),
		Subject: m.Accepted.Subject, State: queue.State(m, now),
	}
	for _, r := range m.Recipients {
		if r.Phase.Open() {
			f.Recipients = append(f.Recipients, r.Address)
			f.Tries = max(f.Tries, r.Tries)
		}
	}
	return f
}
