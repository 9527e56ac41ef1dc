package config

import (
	"fmt"
	"net/netip"
	"strconv"
)

// DNS are the resolvers; none means those of resolv.conf.
type DNS struct {
	Servers []string `yaml:"servers"`
	// TrustAD says whether the servers' word is taken for it that an answer was
	// validated by DNSSEC; nil believes those on loopback addresses.
	TrustAD *bool `yaml:"trust_ad"`
}

func (c *checker) dns() {
	for i, s := range c.file.DNS.Servers {
		if _, err := ParseServer(s); err != nil {
			c.faultAt("dns.servers["+strconv.Itoa(i)+"]", err.Error(), "write 127.0.0.1 or 127.0.0.1:53")
		}
	}
}

// ParseServer reads a resolver's address, with or without its port.
func ParseServer(s string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(addr, 53), nil
	}
	server, err := netip.ParseAddrPort(s)
	if err != nil {
		return server, fmt.Errorf("%q is not an address", s)
	}
	return server, nil
}
