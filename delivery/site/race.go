package site

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"quorumta/delivery/route"
)

func dialTCP(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr.String())
}

// errTimedOut: an address did not answer in its time.
var errTimedOut = errors.New("timed out")

// dial connects to one address in its time.
func (c *call) dial(ctx context.Context, h route.Host) (net.Conn, error) {
	way, limit, addr := c.target.Way, c.set.o.ConnectTimeout, netip.AddrPortFrom(h.Addr, h.Port)
	if way != nil {
		limit = cmp.Or(way.Connect, limit)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("connect to %s %w", addr, errTimedOut))
	defer cancel()
	nc, err := way.Dial(ctx, addr, c.set.o.Dial)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nc, err
}

// dialled is how one address of a race ended.
type dialled struct {
	i   int
	nc  net.Conn
	err error
}

// race connects to the addresses of one host, the families in turn, IPv6
// first; each gets its head start and then the next one starts beside it (RFC
// 8305). It returns the first connection and the index of its address, or the
// first error. No dial goes on when it returns.
func (c *call) race(ctx context.Context, hosts []route.Host) (net.Conn, int, error) {
	ctx, span := c.set.o.Tracer.Start(ctx, "connect", trace.WithAttributes(hostAttribute(hosts[0])))
	defer span.End()
	dialCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	order := interleave(hosts)
	results := make(chan dialled, len(order))
	started, ended := 0, 0
	start := func() {
		i := order[started]
		started++
		go func() {
			nc, err := c.dial(dialCtx, hosts[i])
			results <- dialled{i, nc, err}
		}()
	}
	start()
	stagger := time.NewTicker(c.set.o.Stagger)
	defer stagger.Stop()
	var first error
	for ended < len(order) {
		select {
		case <-stagger.C:
			if started < len(order) {
				start()
			}
		case r := <-results:
			ended++
			if r.err == nil {
				cancel()
				collect(results, started-ended)
				return r.nc, r.i, nil
			}
			if first == nil {
				first = r.err
			}
			if started < len(order) {
				start()
			}
		}
	}
	span.SetStatus(codes.Error, first.Error())
	return nil, 0, first
}

// collect waits for the losers of a race and hangs up on late winners.
func collect(results <-chan dialled, n int) {
	for range n {
		if r := <-results; r.nc != nil {
			_ = r.nc.Close()
		}
	}
}

// interleave orders indices so that the families alternate, IPv6 first.
func interleave(hosts []route.Host) []int {
	var v6, v4 []int
	for i, h := range hosts {
		if h.Addr.Unmap().Is4() {
			v4 = append(v4, i)
		} else {
			v6 = append(v6, i)
		}
	}
	var order []int
	for len(v6) > 0 && len(v4) > 0 {
		order = append(order, v6[0], v4[0])
		v6, v4 = v6[1:], v4[1:]
	}
	return slices.Concat(order, v6, v4)
}
