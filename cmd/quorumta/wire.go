package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.opentelemetry.io/otel/metric"

	"quorumta/cmd/quorumta/archive"
	"quorumta/cmd/quorumta/rules"
	"quorumta/cmd/quorumta/security"
	"quorumta/delivery"
	"quorumta/delivery/memory"
	"quorumta/delivery/own"
	"quorumta/delivery/site"
	"quorumta/internal/admin"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/internal/pressure"
	"quorumta/queue"
	"quorumta/queue/call"
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
	n.env.Store(n.file.Env())
	n.grace.Store(int64(n.file.DrainGrace))
	spool := filepath.Join(n.file.Data, "spool")
	if err := os.MkdirAll(spool, 0o700); err != nil {
		return fmt.Errorf("make the spool: %w", err)
	}
	n.queue = queue.New(n.cluster, queue.Options{
		SubmitWait: time.Duration(n.file.SubmitWait),
		History:    time.Duration(n.file.Keep.History),
		SpoolDir:   spool,
		Filter:     n.filter,
		HoldDoubts: n.file.InDoubt == "hold",
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
	n.offerSites()
	n.wireExplain()
	return n.wireSMTP()
}

func (n *node) wireDelivery() error {
	f := n.file
	n.places = own.New(own.Options{
		Name:      f.Node,
		Listeners: func() []net.Addr { return n.smtp.Addresses() },
		Members:   n.members,
		Ask: func(ctx context.Context, member string) ([]netip.AddrPort, error) {
			return call.Ask[struct{}, []netip.AddrPort](ctx, n.cluster.Call, member, callListeners, struct{}{})
		},
	})
	failures := n.remember()
	n.cluster.Handle(callListeners, call.Answer(func(context.Context, struct{}) ([]netip.AddrPort, error) { return n.places.Here() }))
	var err error
	if n.security, err = security.New(n.queue, n.log, n.telemetry.Meter("delivery")); err != nil {
		return err
	}
	first, err := n.rulesOf(f)
	if err != nil {
		return err
	}
	if n.memory, err = pressure.New(pressure.Options{Log: n.log, Meter: n.telemetry.Meter("memory")}); err != nil {
		return err
	}
	n.delivery, err = delivery.New(delivery.Options{
		Process: n.queue.Process(),
		Queue:   n.queue,
		Rules:   first,
		Own:     n.places,
		Memory:  failures,
		Sites:   site.Options{SMTP: rules.Sessions(f), Permit: n.permit},
		May:     n.mayDeliver,
		Pressed: n.memory.Short,
		Log:     n.log,
		Tracer:  n.telemetry.Tracer("delivery"),
		Meter:   n.telemetry.Meter("delivery"),
	})
	return err
}

// remember makes the memory of what fails, which the nodes share.
func (n *node) remember() *memory.Book {
	book := memory.New(memory.Options{
		Name: n.file.Node,
		Others: func() []string {
			others := n.members()
			delete(others, n.file.Node)
			return slices.Collect(maps.Keys(others))
		},
		Tell: func(ctx context.Context, member string, b memory.Batch) (memory.Batch, error) {
			return call.Ask[memory.Batch, memory.Batch](ctx, n.cluster.Call, member, callFailures, b)
		},
	})
	n.cluster.Handle(callFailures, call.Answer(book.Hear))
	return book
}

// callFailures tells a member of hosts and addresses that fail or work again.
const callFailures = "delivery.failures"

// permit is what this node holds of a limit of the whole cluster.
func (n *node) permit(key string, connections int) site.Permit {
	return n.queue.Permit(key, connections)
}

// callListeners asks a member where it takes mail.
const callListeners = "relay.listeners"

// members are the names of the members, and where they listen for each other.
func (n *node) members() map[string]string {
	members := map[string]string{}
	for _, m := range n.cluster.Nodes() {
		members[m.Name] = m.Address
	}
	return members
}

// mayDeliver: the disk is well, and the shard is led, with a lease that runs and
// a state that nothing is wrong with.
func (n *node) mayDeliver(shard uint16, term uint64) bool {
	held, ok := n.cluster.Term(shard)
	return ok && held == term && n.cluster.Healthy()
}

func (n *node) wireSMTP() error {
	f := n.file
	rules, err := policyOf(f)
	if err != nil {
		return err
	}
	o := smtp.Options{
		Queue:      n.queue,
		Hostname:   f.Hostname,
		Limits:     limitsOf(f),
		Policy:     rules,
		Postmaster: mail.Address(f.Postmaster),
		Pressed:    n.memory.Short,
		Log:        n.log,
		Tracer:     n.telemetry.Tracer("smtp"),
		Meter:      n.telemetry.Meter("smtp"),
	}
	shown, err := n.newCertificates(f)
	if err != nil {
		return err
	}
	for _, l := range f.Listeners {
		listener := smtp.Listener{
			Name: l.Name, Address: l.Address, TLS: smtp.TLSMode(l.TLS), Config: shown.server(l.Certificate), Proxy: l.Proxy,
		}
		listener.PriorityFrom = l.Priority
		if r := l.FutureRelease; r != nil {
			listener.Hold, listener.HoldFrom = time.Duration(r.Max), r.From
		}
		o.Listeners = append(o.Listeners, listener)
	}
	n.smtp, err = smtp.New(o)
	return err
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

// filter compiles an expression of "queue list --if".
func (n *node) filter(expr string) (func(*state.Message) (bool, error), error) {
	c, err := n.env.Load().MessageCondition(expr)
	if err != nil {
		return nil, err
	}
	return func(m *state.Message) (bool, error) {
		return c.Eval(facts(m, time.Now()))
	}, nil
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
