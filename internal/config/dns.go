package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"quorumta/internal/config/strict"
)

// DNS are the resolvers; none means those of resolv.conf.
type DNS struct {
	Servers []string `yaml:"servers"`
	// TrustAD says whether the servers' word is taken for it that an answer was
	// validated by DNSSEC; nil believes those on loopback addresses.
	TrustAD *bool `yaml:"trust_ad"`
	// Zones are parts of the name space, by their names, that are answered from
	// files.
	Zones map[string]DNSZone `yaml:"zones"`
}

// DNSZone is a master file; Secure has its answers count as validated.
type DNSZone struct {
	File   string `yaml:"file"`
	Secure bool   `yaml:"secure"`
}

func (c *checker) dns() {
	for i, s := range c.file.DNS.Servers {
		if _, err := ParseServer(s); err != nil {
			c.faultAt("dns.servers["+strconv.Itoa(i)+"]", err.Error(), "write 127.0.0.1 or 127.0.0.1:53")
		}
	}
	for name, z := range c.file.DNS.Zones {
		path := strict.Join("dns.zones", name)
		if z.File == "" {
			c.faultAt(path, "zone "+name+" has no file", "write "+name+": {file: "+name+".zone}")
		} else if _, err := os.Stat(z.File); err != nil {
			c.faultAt(strict.Join(path, "file"), "cannot read "+z.File, "paths are relative to the file")
		}
	}
}

// dnsWarnings names servers that are never asked.
func (f *File) dnsWarnings() []string {
	var near, far []string
	for _, s := range f.DNS.Servers {
		server, err := ParseServer(s)
		switch {
		case err != nil:
		case server.Addr().Unmap().IsLoopback():
			near = append(near, s)
		default:
			far = append(far, s)
		}
	}
	if f.DNS.TrustAD != nil || len(near) == 0 || len(far) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: dns.servers: %s is not asked, as %s is believed about DNSSEC and it is not: take it out, or set dns.trust_ad",
		f.path, strings.Join(far, ", "), near[0])}
}

// resolve makes paths absolute.
func (d *DNS) resolve(dir string) {
	for name, z := range d.Zones {
		if z.File != "" && !filepath.IsAbs(z.File) {
			z.File = filepath.Join(dir, z.File)
			d.Zones[name] = z
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
