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
	// Zones are answered from files.
	Zones []Zone
	// Timeout is for one question to one server; 0 means 5 s.
	Timeout time.Duration
	// Tries is how often each server is asked; 0 means twice.
	Tries int
}

// Settings are Options that have been checked, with what their files hold.
type Settings struct {
	servers servers
	zones   zones
	timeout time.Duration
	tries   int
	// preferred is the index of the server that answered last: a dead first
	// server costs its time-out once, not at each question.
	preferred atomic.Int32
}

// Prepare reads the files that options name, and fails where one cannot be.
func Prepare(o Options) (*Settings, error) {
	s := &Settings{timeout: o.Timeout, tries: o.Tries}
	if s.timeout <= 0 {
		s.timeout = 5 * time.Second
	}
	if s.tries <= 0 {
		s.tries = 2
	}
	var err error
	if s.zones, err = readZones(o.Zones); err != nil {
		return nil, err
	}
	return s, s.servers.open(o)
}

// Resolver asks and remembers; safe for concurrent use.
type Resolver struct {
	settings atomic.Pointer[Settings]
	cache    *cache
	metrics  metrics
}

// New makes a Resolver that remembers up to size answers, 0 means 10,000. The
// meter counts; nil means that of the global provider. Close ends it.
func New(s *Settings, size int, meter metric.Meter) (*Resolver, error) {
	if size <= 0 {
		size = 10_000
	}
	r := &Resolver{}
	r.settings.Store(s)
	r.cache = newCache(size, r.ask, func() { r.metrics.aheads.Add(r.cache.ctx, 1) })
	var err error
	r.metrics, err = newMetrics(meter, r.cache.size)
	return r, err
}

// Apply has other settings from now on, and forgets all answers. Questions that
// are under way come to an end by the old ones.
func (r *Resolver) Apply(s *Settings) {
	r.settings.Store(s)
	r.cache.forget()
}

// Close ends all questions and returns when none is under way; look-ups are
// ErrTemporary then.
func (r *Resolver) Close() {
	r.cache.close()
	r.metrics.close()
}
