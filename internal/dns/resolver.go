package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"go.opentelemetry.io/otel/metric"
)

// Options are the settings of a Resolver.
type Options struct {
	// Servers are the recursive resolvers, asked in turn; empty means those of
	// Config.
	Servers []netip.AddrPort
	// Config is a resolv.conf; "" means /etc/resolv.conf.
	Config string
	// Timeout is for one question to one server; 0 means 5 s.
	Timeout time.Duration
	// Tries is how often each server is asked; 0 means twice.
	Tries int
	// CacheSize is how many answers are kept; 0 means 10,000.
	CacheSize int
	// Meter counts look-ups; nil means that of the global provider.
	Meter metric.Meter
}

// Resolver asks and remembers; safe for concurrent use.
type Resolver struct {
	servers servers
	timeout time.Duration
	tries   int
	cache   *cache
	metrics metrics
	// preferred is the index of the server that answered last: a dead first
	// server costs its time-out once, not at each question.
	preferred atomic.Int32
}

// New makes a Resolver; it fails where the file of servers cannot be read.
func New(o Options) (*Resolver, error) {
	r := &Resolver{timeout: o.Timeout, tries: o.Tries}
	if r.timeout <= 0 {
		r.timeout = 5 * time.Second
	}
	if r.tries <= 0 {
		r.tries = 2
	}
	size := o.CacheSize
	if size <= 0 {
		size = 10_000
	}
	r.cache = newCache(size)
	var err error
	if err = r.servers.open(o); err != nil {
		return nil, err
	}
	r.metrics, err = newMetrics(o.Meter)
	return r, err
}

// LookupMX returns the domain's mail exchangers by ascending preference.
// ErrNoData means that the domain exists and has none: its addresses stand in
// (RFC 5321, section 5.1).
func (r *Resolver) LookupMX(ctx context.Context, domain string) ([]MX, error) {
	name, err := absolute(domain)
	if err != nil {
		return nil, err
	}
	records, err := r.lookup(ctx, question{name, dns.TypeMX})
	if err != nil {
		return nil, fmt.Errorf("MX of %s: %w", domain, err)
	}
	var out []MX
	null := false
	for _, record := range records {
		mx, ok := record.(*dns.MX)
		if !ok {
			continue
		}
		host := strings.ToLower(strings.TrimSuffix(mx.Mx, "."))
		if host == "" {
			null = true
			continue
		}
		out = append(out, MX{Host: host, Preference: mx.Preference})
	}
	// RFC 7505, section 3: a null MX means what it says only where it is alone.
	if len(out) == 0 && null {
		return nil, fmt.Errorf("MX of %s: %w", domain, ErrNullMX)
	}
	slices.SortStableFunc(out, func(a, b MX) int { return int(a.Preference) - int(b.Preference) })
	return out, nil
}

// LookupHost returns the name's addresses, IPv6 first; a literal address is
// returned as it is.
func (r *Resolver) LookupHost(ctx context.Context, name string) ([]netip.Addr, error) {
	if addrs := local(name); addrs != nil {
		return addrs, nil
	}
	fqdn, err := absolute(name)
	if err != nil {
		return nil, err
	}
	type result struct {
		records []dns.RR
		err     error
	}
	six := make(chan result, 1)
	go func() {
		records, err := r.lookup(ctx, question{fqdn, dns.TypeAAAA})
		six <- result{records, err}
	}()
	records4, err4 := r.lookup(ctx, question{fqdn, dns.TypeA})
	v6 := <-six
	// Name servers exist that fail for AAAA alone: one answer is enough.
	if addrs := addresses(append(v6.records, records4...)); len(addrs) > 0 {
		return addrs, nil
	}
	return nil, fmt.Errorf("addresses of %s: %w", name, worse(v6.err, err4))
}

func addresses(records []dns.RR) []netip.Addr {
	var out []netip.Addr
	for _, record := range records {
		var addr netip.Addr
		switch record := record.(type) {
		case *dns.AAAA:
			addr, _ = netip.AddrFromSlice(record.AAAA.To16())
		case *dns.A:
			addr, _ = netip.AddrFromSlice(record.A.To4())
		}
		if addr.IsValid() && !slices.Contains(out, addr) {
			out = append(out, addr)
		}
	}
	return out
}

// worse is what two look-ups without an address come to: as long as one may
// still succeed, nothing is final.
func worse(a, b error) error {
	for _, err := range []error{a, b} {
		if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrNoData) {
			return err
		}
	}
	if errors.Is(a, ErrNotFound) {
		return a
	}
	if errors.Is(b, ErrNotFound) {
		return b
	}
	return ErrNoData
}
