// Package discard delivers to nobody: the message is recorded as delivered and
// is gone. Senders who asked to be told of success are told nothing, since
// nothing was delivered.
//
// The point of no return is the last look itself; nothing is ever in doubt.
package discard

import (
	"context"

	"quorumta/delivery/transport"
	"quorumta/internal/mail"
)

// Transport implements transport.Opener and transport.Conn; it has no state.
type Transport struct{}

// Open implements transport.Opener.
func (t Transport) Open(context.Context) (transport.Conn, error) { return t, nil }

// Peer implements transport.Conn.
func (Transport) Peer() transport.Peer { return transport.Peer{RelaysDSN: true} }

// Send implements transport.Conn.
func (Transport) Send(_ context.Context, m *transport.Message) (transport.Result, error) {
	res := transport.Result{Rcpts: make([]mail.Reply, len(m.Recipients))}
	if err := m.Look(); err != nil {
		return res, err
	}
	res.Dot = true
	res.Final = mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "discarded"}
	return res, nil
}

// Closed implements transport.Conn.
func (Transport) Closed() bool { return false }

// Leave implements transport.Conn.
func (Transport) Leave(context.Context) {}
