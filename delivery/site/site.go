package site

import (
	"crypto/tls"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"quorumta/delivery/egress"
	"quorumta/delivery/route"
	"quorumta/delivery/smtpc"
	"quorumta/delivery/transport"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/queue/event"
)

// Options say how sites are treated. Each zero means the default.
type Options struct {
	SMTP smtpc.Options
	// TLS holds the roots that WebPKI goes by; nil means the system's.
	TLS *tls.Config
	// Concurrency is the most connections to one site; 20. NamedConcurrency is
	// that to one whose hosts the operator has named; 60: those are our own, and
	// everything may go there.
	Concurrency, NamedConcurrency int
	// Initial is how many connections a site gets before it has taken a
	// message; 5.
	Initial int
	// ConnectTimeout is for one address; 30 s.
	ConnectTimeout time.Duration
	// Stagger is how long an address has before the next one of the host is
	// tried beside it (RFC 8305, section 5); 250 ms.
	Stagger time.Duration
	// Suspend is how long a site rests after its first failure; 5 s. It
	// doubles with each further one, up to SuspendMost; 5 min.
	Suspend, SuspendMost time.Duration
	// Permit is what this node holds of a limit under a key that the cluster
	// shares: so many connections, 0 for any, and rates. nil: this node is alone.
	Permit func(key string, connections int) Permit
	// Dial makes connections; TCP.
	Dial egress.Dialer
	// Now is the clock; time.Now.
	Now func() time.Time
	// Tracer makes the spans connect and tls; none.
	Tracer trace.Tracer
}

func (o Options) filled() Options {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	if o.Concurrency == 0 {
		o.Concurrency = 20
	}
	if o.NamedConcurrency == 0 {
		o.NamedConcurrency = 60
	}
	if o.Initial == 0 {
		o.Initial = min(5, o.Concurrency)
	}
	set(&o.ConnectTimeout, 30*time.Second)
	set(&o.Stagger, 250*time.Millisecond)
	set(&o.Suspend, 5*time.Second)
	set(&o.SuspendMost, 5*time.Minute)
	if o.Dial == nil {
		o.Dial = dialTCP
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tracer == nil {
		o.Tracer = noop.NewTracerProvider().Tracer("")
	}
	return o
}

// Failure says why a site could not be used: what failed last, at which host.
type Failure struct {
	Kind event.ErrorKind
	Host string
	IP   string
	// Reply is the host's, or one of our own words with Code 0.
	Reply mail.Reply
	// Final: no host can do what the sender demands of all of them (RFC 8689,
	// section 4.2.1). To wait changes nothing.
	Final bool
	// Demand: the host is not good enough for what the domain or the sender
	// demands, which says nothing of it for other mail.
	Demand bool
}

// Set is all sites of a process; safe for concurrent use.
type Set struct {
	o      Options
	health *health
	// transports are those of the configuration, by name.
	transports atomic.Pointer[map[string]Transport]
	rules      atomic.Pointer[rules]
	mu         sync.Mutex
	sites      map[string]*Site
	allowed    map[string]*allowance
}

// New makes an empty set.
func New(o Options) *Set {
	o = o.filled()
	s := &Set{o: o, health: newHealth(o), sites: map[string]*Site{}, allowed: map[string]*allowance{}}
	s.SetTransports(nil)
	s.rules.Store(&rules{})
	return s
}

// Transport is how mail goes that names it.
type Transport struct {
	// Local opens what carries messages; nil where mail goes to the target's
	// hosts.
	Local transport.Opener
	// SMTP is how sessions with the target's hosts speak.
	SMTP smtpc.Options
	// Egress is how mail leaves for them; nil leaves it to the system.
	Egress *egress.Settings
	// Recipients is the most that a delivery by it has; 0: no bound.
	Recipients int
}

// SetTransports exchanges the transports of the configuration; "smtp" need not
// be among them. What is open goes on as it began.
func (s *Set) SetTransports(list map[string]Transport) { s.transports.Store(&list) }

// transport is how mail of a target goes; false where the configuration does not
// know it any more.
func (s *Set) transport(t route.Target) (Transport, bool) {
	how, ok := (*s.transports.Load())[t.Transport]
	if !ok && len(t.Hosts) > 0 {
		return Transport{SMTP: s.o.SMTP}, true
	}
	return how, ok
}

// Leaving is a target with the way in which a recipient's mail leaves for it. An
// error says that it cannot leave now.
func (s *Set) Leaving(t route.Target, f *policy.Facts, id mail.MessageID) (route.Target, error) {
	how, _ := s.transport(t)
	if how.Egress == nil {
		return t, nil
	}
	way, err := how.Egress.Way(f, id)
	if err != nil {
		return t, fmt.Errorf("transport %s: %w", t.Transport, err)
	}
	t.Way, t.Key = way, t.Key+way.Key
	return t, nil
}

// Origin is by what mail comes to a site: rules may ask.
type Origin struct{ Router, Domain string }

// Site is the site of a target, whose hosts it takes over: addresses change.
func (s *Set) Site(t route.Target) *Site { return s.Reach(t, Origin{}) }

// Reach is Site for mail of an origin.
func (s *Set) Reach(t route.Target, origin Origin) *Site {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.sites[t.Key]
	if found == nil {
		s.forgetLocked()
		found = &Site{set: s, key: t.Key, limit: s.o.Initial}
		s.sites[t.Key] = found
	}
	found.update(t, origin)
	return found
}

// All are the sites that are remembered, in no order.
func (s *Set) All() []*Site {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.sites))
}

// mostSites is how many sites are remembered before those without a
// connection or a bad experience are forgotten.
const mostSites = 4096

func (s *Set) forgetLocked() {
	if len(s.sites) < mostSites {
		return
	}
	now := s.o.Now()
	for key, x := range s.sites {
		if x.forgettable(now) {
			delete(s.sites, key)
		}
	}
}

// Site is one of them; safe for concurrent use.
type Site struct {
	set *Set
	key string

	mu     sync.Mutex
	target route.Target
	// limit is how many connections it may have, being the number that
	// Begin has given and End has not taken back; open of them have got
	// through.
	limit, active, open int
	// begun is when Begin last said yes.
	begun time.Time
	// growAfter: the limit stays as it is until then.
	growAfter time.Time
	// failures in a row since the last connection got through; no connection
	// before until.
	failures int
	until    time.Time
	last     Failure

	// allow is what the operator allows, nil where he says nothing, by the rules
	// judged; begins are the allowances that have counted each connection, in
	// the order of Begin.
	allow  atomic.Pointer[allowances]
	judged *rules
	begins []*allowances
}

// Key is the target's.
func (s *Site) Key() string { return s.key }

func (s *Site) update(t route.Target, origin Origin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target = t
	s.judgeLocked(origin)
}

// forgettable: nobody uses it, and it has nothing to teach.
func (s *Site) forgettable(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active == 0 && s.until.Before(now.Add(-s.set.o.SuspendMost))
}

// probeWait is how long a probe of a site that was silent may hang until
// another one starts beside it: by then the site may be back.
const probeWait = 30 * time.Second

// Begin asks for the right to one connection; End gives it back. A suspended
// site, and one that has as many as it gets, says no.
func (s *Site) Begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.set.o.Now()
	limit := s.limit
	if s.failures > 0 {
		limit = 1 // the probe
		if now.Sub(s.begun) >= probeWait {
			limit = min(s.active+1, s.set.o.Initial) // it hangs: another one
		}
	}
	allow := s.allow.Load()
	if allow != nil {
		allow.want()
	}
	if s.active >= limit || now.Before(s.until) {
		return false
	}
	if allow != nil {
		if !allow.begin(limit, now) {
			return false
		}
		s.begins = append(s.begins, allow)
	}
	s.active++
	s.begun = now
	return true
}

// End gives back what Begin gave, after the connection has been left.
func (s *Site) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	if n := len(s.begins); n > 0 {
		s.begins[n-1].end()
		s.begins = s.begins[:n-1]
	}
}

// Worked notes that a message went through: the site may get one connection
// more.
func (s *Site) Worked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limit < s.mostLocked() && !s.set.o.Now().Before(s.growAfter) {
		s.limit++
	}
}

// mostLocked is how many connections it may ever get without a rule.
func (s *Site) mostLocked() int {
	if s.target.Named {
		return s.set.o.NamedConcurrency
	}
	return s.set.o.Concurrency
}

// left notes that an open connection has ended.
func (s *Site) left() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
}

// connected notes that a connection got through.
func (s *Site) connected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
	s.failures, s.until = 0, time.Time{}
}

// Refused notes that a connection could not be made, or was of no use. While
// others are open it is only one too many: the site gets no more than it has,
// for a minute, and is not suspended. suspended tells the two apart.
func (s *Site) Refused(f Failure) (suspended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.set.o.Now()
	s.last = f
	if s.open > 0 {
		s.limit = max(1, s.open)
		s.growAfter = now.Add(time.Minute)
		return false
	}
	if now.Before(s.until) { // one of several that started together
		return true
	}
	s.until = now.Add(backoff(s.failures, s.set.o.Suspend, s.set.o.SuspendMost))
	s.failures++
	s.limit = s.set.o.Initial
	return true
}

// Suspended tells until when nobody may connect, and why.
func (s *Site) Suspended() (until time.Time, why Failure, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until, s.last, s.set.o.Now().Before(s.until)
}

// Failing reports whether the last connection failed and none is open: the
// site is suspended, or being probed.
func (s *Site) Failing() (why Failure, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.failures > 0
}

// backoff is first doubled n times, at most most, give or take a tenth so that
// nodes do not knock together.
func backoff(n int, first, most time.Duration) time.Duration {
	d := most
	if n < 16 {
		d = min(most, first<<n)
	}
	return d - d/10 + rand.N(d/5+1)
}
