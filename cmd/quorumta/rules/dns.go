package rules

import (
	"cmp"
	"slices"

	"quorumta/internal/config"
	"quorumta/internal/dns"
)

// DNS reads what a file says of name servers and zones. The error is a
// config.Faults.
func DNS(f *config.File) (*dns.Settings, error) {
	var o dns.Options
	switch {
	case f.DNS.TrustAD == nil:
		o.Trust = dns.TrustLoopback
	case *f.DNS.TrustAD:
		o.Trust = dns.TrustAll
	default:
		o.Trust = dns.TrustNone
	}
	for _, s := range f.DNS.Servers {
		server, err := config.ParseServer(s)
		if err != nil {
			return nil, f.Fault("dns.servers", err.Error())
		}
		o.Servers = append(o.Servers, server)
	}
	for name, z := range f.DNS.Zones {
		o.Zones = append(o.Zones, dns.Zone{Name: name, File: z.File, Secure: z.Secure})
	}
	slices.SortFunc(o.Zones, func(a, b dns.Zone) int { return cmp.Compare(a.Name, b.Name) })
	s, err := dns.Prepare(o)
	if err != nil {
		return nil, f.Fault("dns", err.Error())
	}
	return s, nil
}
