package dns

import (
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// reread is how often a resolv.conf is looked at: machines that get their
// address by DHCP change it, and a relay runs for months.
const reread = 10 * time.Second

// servers are the resolvers to ask, as "address:port".
type servers struct {
	path string // "" for a list that does not change

	mu      sync.Mutex // guards what follows
	list    []string
	changed time.Time // of the file
	looked  time.Time
}

func (s *servers) open(o Options) error {
	for _, server := range o.Servers {
		s.list = append(s.list, server.String())
	}
	if len(s.list) > 0 {
		return nil
	}
	s.path = o.Config
	if s.path == "" {
		s.path = "/etc/resolv.conf"
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("read DNS servers (name them in dns.servers): %w", err)
	}
	s.changed, s.looked = info.ModTime(), time.Now()
	s.list, err = readServers(s.path)
	return err
}

// current returns the list, read again if the file has changed; one that
// cannot be read leaves the list as it was.
func (s *servers) current(now time.Time) []string {
	s.mu.Lock()
	list, stale := s.list, s.path != "" && now.Sub(s.looked) >= reread
	if stale {
		s.looked = now // others go on with the list meanwhile
	}
	s.mu.Unlock()
	if !stale {
		return list
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return list
	}
	s.mu.Lock()
	same := info.ModTime().Equal(s.changed)
	s.mu.Unlock()
	if same {
		return list
	}
	fresh, err := readServers(s.path)
	if err != nil {
		return list
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list, s.changed = fresh, info.ModTime()
	return fresh
}

func readServers(path string) ([]string, error) {
	config, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("read DNS servers from %s: %w", path, err)
	}
	var list []string
	for _, server := range config.Servers {
		addr, err := netip.ParseAddr(server)
		if err != nil {
			return nil, fmt.Errorf("read DNS servers from %s: %w", path, err)
		}
		list = append(list, netip.AddrPortFrom(addr, 53).String())
	}
	if len(list) == 0 {
		// resolv.conf(5): without a nameserver line it is the local machine's.
		list = []string{"127.0.0.1:53"}
	}
	return list, nil
}
