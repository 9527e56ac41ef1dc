package site

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"go.opentelemetry.io/otel/codes"

	"quorumta/delivery/route"
	"quorumta/delivery/smtpc"
	"quorumta/delivery/transport"
	"quorumta/internal/mail"
	"quorumta/internal/tlspolicy"
	"quorumta/queue/event"
)

// policyOf is what connections to a target must be like.
func policyOf(t route.Target) *tlspolicy.Policy {
	if t.Policy != nil {
		return t.Policy
	}
	return tlspolicy.Only(tlspolicy.Mode(t.TLS))
}

// wanted reports whether TLS is used where it is offered.
func (t *talk) wanted() bool { return t.rule.Wanted() && !t.clear }

// startTLS makes a session secret where the rule wants it and it is not yet.
func (t *talk) startTLS(ctx context.Context, conn *smtpc.Conn) error {
	switch {
	case conn.TLS() != nil:
		t.count(ctx, conn.TLS(), nil)
		return nil
	case !t.wanted():
		return nil
	case !t.rule.Needed() && !conn.Extensions().StartTLS:
		t.count(ctx, nil, tlspolicy.ErrNotOffered)
		return nil
	case !t.rule.Needed() && t.set.health.clear(t.at(t.host)):
		return nil
	}
	within, span := t.set.o.Tracer.Start(ctx, "tls")
	defer span.End()
	err := conn.StartTLS(within, t.rule.Config(t.secret))
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	t.count(ctx, conn.TLS(), err)
	return err
}

// handshake is TLS from the first byte on.
func (t *talk) handshake(ctx context.Context, nc net.Conn) (net.Conn, error) {
	ctx, span := t.set.o.Tracer.Start(ctx, "tls")
	defer span.End()
	limit := cmp.Or(t.how.SMTP.Timeouts.TLS, time.Minute)
	tc, err := smtpc.Handshake(ctx, nc, t.rule.Config(t.secret), limit)
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		return nil, err
	}
	return tc, nil
}

// count tells how TLS went, unless it was cut off by ourselves.
func (t *talk) count(ctx context.Context, state *tls.ConnectionState, err error) {
	if ctx.Err() != nil {
		return
	}
	if errors.Is(err, transport.ErrNoTLS) {
		err = tlspolicy.ErrNotOffered
	}
	t.rule.Count(t.ends, state, err, t.secret.RootCAs)
}

// failure is the end of a session. That the host cannot do what the sender
// demands is for good; that TLS was cut off may change.
func (t *talk) failure(err error) *Failure {
	f := sessionFailure(t.host.Name, t.host.Addr.String(), err)
	if tlspolicy.Untrusted(err) || f.Kind == event.ErrorTLSRequired {
		refusal := refused(t.host, t.rule.Failed(f.Reply.Text))
		f.Reply, f.Final = refusal.Reply, refusal.Final
	}
	f.Demand = t.rule.Raised() && (f.Kind == event.ErrorTLS || f.Kind == event.ErrorTLSRequired)
	return f
}

// refused is a failure of ourselves: the host is not good enough.
func refused(h route.Host, why *tlspolicy.Refusal) *Failure {
	return &Failure{
		Kind: event.ErrorTLS, Host: h.Name, IP: h.Addr.String(), Final: why.Final, Demand: true,
		Reply: mail.Reply{Enhanced: why.Enhanced, Text: why.Text},
	}
}

func secrecy(state *tls.ConnectionState, rule *tlspolicy.Rule) string {
	if state == nil {
		return ""
	}
	return tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite) + " " + rule.How()
}

// address is the textual IP address of an end; "" where it has none.
func address(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().String()
	}
	return ""
}
