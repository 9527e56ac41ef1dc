package dns

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// reread is how often a resolv.conf is looked at: machines that get their
// address by DHCP change it, and a relay runs for months.
const reread = 10 * time.Second

// server is one to ask.
type server struct {
	address string // with its port
	// trusted says that its AD bit is believed.
	trusted bool
}

// servers are the resolvers to ask. Where some are trusted the others are not
// asked: whoever makes those fail, which takes no more than lost packets, would
// have secure answers replaced by insecure ones, and DANE switched off.
type servers struct {
	path  string // "" for a list that does not change
	trust Trust

	mu      sync.Mutex // guards what follows
	list    []server
	changed time.Time // of the file
	looked  time.Time
}

func (s *servers) open(o Options) error {
	s.trust = o.Trust
	for _, addr := range o.Servers {
		s.list = append(s.list, newServer(addr, s.trust))
	}
	if len(s.list) > 0 {
		s.list = best(s.list)
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
	s.list, err = readServers(s.path, s.trust)
	return err
}

// current returns the list, read again if the file has changed; one that
// cannot be read leaves the list as it was.
func (s *servers) current(now time.Time) []server {
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
	fresh, err := readServers(s.path, s.trust)
	if err != nil {
		return list
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list, s.changed = fresh, info.ModTime()
	return fresh
}

// best are the trusted ones, or all where there are none.
func best(list []server) []server {
	trusted := slices.DeleteFunc(slices.Clone(list), func(s server) bool { return !s.trusted })
	if len(trusted) == 0 {
		return list
	}
	return trusted
}

func newServer(addr netip.AddrPort, trust Trust) server {
	trusted := trust == TrustAll || trust == TrustLoopback && addr.Addr().Unmap().IsLoopback()
	return server{addr.String(), trusted}
}

func readServers(path string, trust Trust) ([]server, error) {
	config, err := dns.ClientConfigFromFile(path)
	if err != nil {
		return nil, fmt.Errorf("read DNS servers from %s: %w", path, err)
	}
	var list []server
	for _, text := range config.Servers {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("read DNS servers from %s: %w", path, err)
		}
		list = append(list, newServer(netip.AddrPortFrom(addr, 53), trust))
	}
	if len(list) == 0 {
		// resolv.conf(5): without a nameserver line it is the local machine's.
		list = []server{newServer(netip.MustParseAddrPort("127.0.0.1:53"), trust)}
	}
	return best(list), nil
}
