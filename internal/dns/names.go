package dns

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/net/idna"
)

// absolute is the name in A-labels, lower case, with a final dot. A text that
// is no domain name is ErrNotFound: no zone will ever hold it.
func absolute(name string) (string, error) {
	ascii := strings.ToLower(strings.TrimSuffix(name, "."))
	for i := range len(ascii) {
		if ascii[i] < 0x80 {
			continue
		}
		var err error
		if ascii, err = idna.Lookup.ToASCII(ascii); err != nil {
			return "", fmt.Errorf("%q is no domain name: %w", name, ErrNotFound)
		}
		break
	}
	labels, ok := dns.IsDomainName(ascii)
	if !ok || labels == 0 || len(ascii) > 253 || strings.ContainsAny(ascii, "\\ \t\r\n\x00") {
		return "", fmt.Errorf("%q is no domain name: %w", name, ErrNotFound)
	}
	return ascii + ".", nil
}

// local answers without a question: literal addresses, with or without the
// brackets of RFC 5321, section 4.1.3, and localhost (RFC 6761, section 6.3).
func local(name string) []netip.Addr {
	literal := name
	if inner, ok := strings.CutPrefix(literal, "["); ok {
		literal = strings.TrimSuffix(inner, "]")
		if len(literal) > 5 && strings.EqualFold(literal[:5], "ipv6:") {
			literal = literal[5:]
		}
	}
	if addr, err := netip.ParseAddr(literal); err == nil {
		return []netip.Addr{addr.Unmap()}
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return nil
}

// serversOf are the servers as "address:port".
func serversOf(o Options) ([]string, error) {
	var servers []string
	for _, server := range o.Servers {
		servers = append(servers, server.String())
	}
	if len(servers) > 0 {
		return servers, nil
	}
	path := o.Config
	if path == "" {
		path = "/etc/resolv.conf"
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read DNS servers (name them in dns.servers): %w", err)
	}
	defer file.Close()
	config, err := dns.ClientConfigFromReader(file)
	if err != nil {
		return nil, fmt.Errorf("read DNS servers from %s: %w", path, err)
	}
	for _, server := range config.Servers {
		addr, err := netip.ParseAddr(server)
		if err != nil {
			return nil, fmt.Errorf("read DNS servers from %s: %w", path, err)
		}
		servers = append(servers, netip.AddrPortFrom(addr, 53).String())
	}
	if len(servers) == 0 {
		// resolv.conf(5): without a nameserver line it is the local machine's.
		servers = []string{"127.0.0.1:53"}
	}
	return servers, nil
}
