package dns

import (
	"net/netip"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// Options are the settings of a Resolver.
type Options struct {
	// Servers are the recursive resolvers, asked in turn; empty means those of
	// Config.
	Servers []netip.AddrPort
	// Config is a resolv.conf; "" means /etc/resolv.conf.
	Config string
	// Trust is whose AD bit is believed.
	Trust Trust
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
