package egress

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Dialer makes a connection to an address.
type Dialer func(ctx context.Context, to netip.AddrPort) (net.Conn, error)

// Dial makes a connection to an address in the way; a nil Way leaves it to
// system, as does one that asks for nothing else.
func (w *Way) Dial(ctx context.Context, to netip.AddrPort, system Dialer) (net.Conn, error) {
	if w == nil {
		return system(ctx, to)
	}
	target := to
	if w.Proxy.Server.IsValid() {
		target = w.Proxy.Server
	}
	nc, err := w.through(ctx, target, system)
	if err != nil || w.Proxy.Version == 0 {
		return nc, err
	}
	if err := w.introduce(ctx, nc, to); err != nil {
		_ = nc.Close()
		return nil, err
	}
	return nc, nil
}

// through connects directly, or by one of the SOCKS servers.
func (w *Way) through(ctx context.Context, to netip.AddrPort, system Dialer) (net.Conn, error) {
	if len(w.Socks) == 0 {
		return w.straight(ctx, to, system)
	}
	var last error
	for _, i := range order(w.Socks) {
		server := &w.Socks[i]
		nc, err := w.straight(ctx, server.Server, system)
		if err != nil {
			last = fmt.Errorf("SOCKS server %s: %w", server.Server, err)
			continue
		}
		if err = bounded(ctx, nc, func() error { return server.connect(nc, to) }); err == nil {
			return nc, nil
		}
		_ = nc.Close()
		last = fmt.Errorf("by SOCKS server %s: %w", server.Server, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

// straight connects from the way's own address, where it has one.
func (w *Way) straight(ctx context.Context, to netip.AddrPort, system Dialer) (net.Conn, error) {
	source := w.source(to.Addr())
	if w.Proxy.Server.IsValid() { // the address is the proxy's
		source = netip.Addr{}
	}
	if !source.IsValid() && !w.Silent {
		return system(ctx, to)
	}
	d := net.Dialer{}
	if source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	if w.Silent {
		d.KeepAlive = -1
	}
	return d.DialContext(ctx, "tcp", to.String())
}

// bounded does something with a connection until ctx ends.
func bounded(ctx context.Context, nc net.Conn, do func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	err := do()
	if !stop() && err == nil { // the deadline is there, or about to be
		err = context.Cause(ctx)
	}
	return err
}
