package main

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"quorumta/cmd/quorumta/rules"
	"quorumta/cmd/quorumta/security"
	"quorumta/delivery"
	"quorumta/delivery/outgoing"
	"quorumta/delivery/own"
	"quorumta/delivery/route"
	"quorumta/delivery/thaw"
	"quorumta/internal/config"
	"quorumta/internal/dns"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/internal/pressure"
	"quorumta/smtp"
)

// live is what a reload exchanges or compares with, and what is asked all the
// time.
type live struct {
	// loaded is the file that was read last; it belongs to the goroutine that
	// wires and reloads.
	loaded   *config.File
	resolver *dns.Resolver
	// keys are those that sign, directories the lookups; they outlive a reload.
	keys        *outgoing.Keys
	directories *rules.Directories
	places      *own.Places
	memory      *pressure.Gauge
	// security is what is known of TLS with others.
	security *security.Security
	// env are the nets and lists of the operator's expressions, grace is how
	// long /readyz says no before the listeners close, nanoseconds.
	env   atomic.Pointer[policy.Env]
	grace atomic.Int64
	// loudness is the lowest level that is logged.
	loudness slog.LevelVar
}

// rulesOf compiles what a file says of delivery.
func (n *node) rulesOf(f *config.File) (delivery.Rules, error) {
	var r delivery.Rules
	names, err := rules.DNS(f)
	if err != nil {
		return r, err
	}
	if n.resolver == nil {
		if n.resolver, err = dns.New(names, 0, n.telemetry.Meter("dns")); err != nil {
			return r, err
		}
	}
	if n.directories == nil {
		if n.directories, err = rules.NewDirectories(n.telemetry.Meter("lookup")); err != nil {
			return r, err
		}
	}
	tables, keepTables, err := n.directories.Open(f)
	if err != nil {
		return r, err
	}
	if r.Router, err = rules.Routers(f, route.Options{Resolver: n.resolver, Own: n.places.Whose}, tables, n.log); err != nil {
		return r, err
	}
	if r.Transports, err = rules.Transports(f); err != nil {
		return r, err
	}
	if r.Retry, err = rules.Retry(f); err != nil {
		return r, err
	}
	if r.Sites, err = rules.Sites(f, n.log); err != nil {
		return r, err
	}
	if n.keys == nil {
		n.keys = rules.Keys(n.log)
	}
	if r.Outgoing, err = rules.Outgoing(f, n.keys, rules.Lookup(n.resolver)); err != nil {
		return r, err
	}
	r.Warnings, r.Freeze = rules.Warnings(f.DSN.WarnAfter), freeze(f)
	if r.DSN, err = rules.Reports(f, n.log); err != nil {
		return r, err
	}
	r.DSN.Hostname, r.DSN.Postmaster = n.file.Hostname, mail.Address(n.file.Postmaster) // a restart changes these
	r.TLS = n.security.Checker(n.resolver)
	n.security.Set(f, n.resolver)
	n.resolver.Apply(names)
	keepTables()
	n.loaded = f
	return r, nil
}

// freeze is what a file says of messages that the relay holds itself.
func freeze(f *config.File) thaw.Freeze {
	return thaw.Freeze{
		Reports: f.DSN.DoubleBounce == "freeze", IgnoreAfter: time.Duration(f.Freeze.IgnoreBounceErrorsAfter),
		ThawAfter: time.Duration(f.Freeze.AutoThaw), EndAfter: time.Duration(f.Freeze.TimeoutFrozenAfter),
	}
}

func limitsOf(f *config.File) smtp.Limits {
	l := f.Limits
	return smtp.Limits{
		Message: int64(l.Message), Recipients: l.Recipients,
		Connections: l.Connections, PerClient: l.PerClient, Received: l.Received,
	}
}

// policyOf compiles the rules of a file.
func policyOf(f *config.File) (smtp.Policy, error) {
	p := smtp.Policy{Env: f.Env(), Trusted: trusted(f)}
	var err error
	if p.Returns, err = rules.Returns(f); err != nil {
		return p, err
	}
	if p.Rewrites, err = rules.Rewrites(f); err != nil {
		return p, err
	}
	for _, r := range f.Priorities {
		c, err := f.Env().Condition(r.If, config.PriorityConditions()...)
		if err != nil {
			return p, fmt.Errorf("priority rule %s: %w", r.Name, err)
		}
		p.Priorities = append(p.Priorities, smtp.PriorityRule{Name: r.Name, If: c, Priority: mail.Priority(r.Priority)})
	}
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
