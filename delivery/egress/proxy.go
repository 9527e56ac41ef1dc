package egress

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

// Proxy is the PROXY protocol of HAProxy on connections that leave.
type Proxy struct {
	// Version is 1 or 2; 0: none.
	Version int
	// Server gets the connections in the host's place, and connects to the
	// host from the address that the header names; unset where the host itself
	// reads the header.
	Server netip.AddrPort
}

// introduce writes the header of a new connection.
func (w *Way) introduce(ctx context.Context, nc net.Conn, to netip.AddrPort) error {
	h, err := w.header(nc, to)
	if err != nil {
		return err
	}
	return bounded(ctx, nc, func() error {
		_, err := h.WriteTo(nc)
		return err
	})
}

// header names who connects and to whom.
func (w *Way) header(nc net.Conn, to netip.AddrPort) (*proxyproto.Header, error) {
	h := &proxyproto.Header{
		Version: byte(w.Proxy.Version), Command: proxyproto.PROXY, TransportProtocol: proxyproto.TCPv4,
		DestinationAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(to.Addr().Unmap(), to.Port())),
	}
	if !to.Addr().Unmap().Is4() {
		h.TransportProtocol = proxyproto.TCPv6
	}
	from, _ := nc.LocalAddr().(*net.TCPAddr)
	if from == nil {
		return nil, fmt.Errorf("PROXY: %s is no TCP connection", nc.LocalAddr())
	}
	source := from.AddrPort()
	if own := w.source(to.Addr()); w.Proxy.Server.IsValid() && own.IsValid() {
		source = netip.AddrPortFrom(own, source.Port())
	}
	if source.Addr().Unmap().Is4() != to.Addr().Unmap().Is4() {
		return nil, fmt.Errorf("PROXY: no source address of the family of %s is set", to.Addr())
	}
	h.SourceAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source.Addr().Unmap(), source.Port()))
	return h, nil
}
