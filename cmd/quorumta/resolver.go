package main

import (
	"fmt"

	"go.opentelemetry.io/otel/metric"

	"quorumta/internal/config"
	"quorumta/internal/dns"
)

// newResolver is what a file says of name servers.
func newResolver(f config.DNS, meter metric.Meter) (*dns.Resolver, error) {
	o := dns.Options{Meter: meter}
	switch {
	case f.TrustAD == nil:
		o.Trust = dns.TrustLoopback
	case *f.TrustAD:
		o.Trust = dns.TrustAll
	default:
		o.Trust = dns.TrustNone
	}
	for _, s := range f.Servers {
		server, err := config.ParseServer(s)
		if err != nil {
			return nil, fmt.Errorf("dns.servers: %w", err)
		}
		o.Servers = append(o.Servers, server)
	}
	return dns.New(o)
}
