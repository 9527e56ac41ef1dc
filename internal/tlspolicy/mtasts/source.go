package mtasts

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/idna"
)

const (
	// restAfterFailure is how long a policy host that failed is not asked again
	// for the same policy (RFC 8461, section 3.3).
	restAfterFailure = 5 * time.Minute
	// refreshAfter is the age at which a policy is fetched again although
	// nobody has announced a new one (RFC 8461, section 3.3).
	refreshAfter = 24 * time.Hour
	// patrol is how often policies of that age are looked for.
	patrol = time.Hour
	// mostFailures bounds the memory of failures.
	mostFailures = 4096
)

// Options say what a Source works with.
type Options struct {
	// TXT looks texts up, the strings of each record joined. An error stands
	// for no record: what is remembered holds on.
	TXT func(ctx context.Context, name string) ([]string, error)
	// Dial connects to policy hosts; nil: the system's way.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Roots are who may vouch for policy hosts; nil means the system's.
	Roots *x509.CertPool
	// Shared is the memory of all nodes; nil: there is none.
	Shared Cache
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log gets what its owner should know; nil means slog.Default.
	Log *slog.Logger
}

// Source tells the policies of domains; safe for concurrent use.
type Source struct {
	o       Options
	fetcher fetcher
	memory  Memory

	mu sync.Mutex // guards what follows
	// failures are the last ones by domain; flights are fetches under way.
	failures map[string]failure
	flights  map[string]*flight
}

// failure is a fetch that brought nothing.
type failure struct {
	id  string
	at  time.Time
	err error
}

// flight is a fetch under way; done is closed at its end.
type flight struct {
	done  chan struct{}
	found Remembered
	err   error
	// abandoned: who fetched gave up before there was an answer.
	abandoned bool
}

// New makes a Source.
func New(o Options) *Source {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Source{o: o, fetcher: newFetcher(o.Dial, o.Roots), failures: map[string]failure{}, flights: map[string]*flight{}}
}

// Answer is what a domain demands now.
type Answer struct {
	// Policy is nil where the domain has none: mail goes as if there were no
	// MTA-STS.
	Policy *Policy
	// Fetched is when the policy was.
	Fetched time.Time
	// Err says why there is no policy, or no newer one, though the domain has
	// announced one; it wraps an error of this package.
	Err error
}

// Policy asks what a domain demands. It may take a minute.
func (s *Source) Policy(ctx context.Context, domain string) Answer {
	domain, err := idna.Lookup.ToASCII(strings.TrimSuffix(domain, "."))
	if err != nil || domain == "" || net.ParseIP(domain) != nil {
		return Answer{}
	}
	id, err := s.announced(ctx, domain)
	have, ok := s.remembered(ctx, domain, id)
	if id != "" && !(ok && have.ID == id) {
		var fresh Remembered
		if fresh, err = s.once(ctx, domain, id); err == nil {
			return Answer{Policy: &fresh.Policy, Fetched: fresh.Fetched}
		}
	} else if !errors.Is(err, ErrBadRecord) {
		err = nil // who publishes nothing has made no mistake
	}
	if !ok {
		return Answer{Err: err}
	}
	return Answer{Policy: &have.Policy, Fetched: have.Fetched, Err: err}
}

// announced is the id that the domain's TXT record names; "" where there is
// none, or the DNS does not say.
func (s *Source) announced(ctx context.Context, domain string) (string, error) {
	texts, err := s.o.TXT(ctx, "_mta-sts."+domain)
	if err != nil {
		return "", err
	}
	return ParseRecord(texts)
}

// remembered is the policy that may be followed: what another node has learnt
// counts where it is newer, or the announced one.
func (s *Source) remembered(ctx context.Context, domain, id string) (Remembered, bool) {
	now := s.o.Now()
	have, ok := s.memory.Load(ctx, domain)
	ok = ok && now.Before(have.Until)
	if s.o.Shared == nil || ok && (id == "" || have.ID == id) {
		return have, ok
	}
	theirs, known := s.o.Shared.Load(ctx, domain)
	if !known || !now.Before(theirs.Until) || ok && !theirs.Fetched.After(have.Fetched) {
		return have, ok
	}
	s.memory.Store(ctx, domain, theirs)
	return theirs, true
}

// once fetches the policy of an id: one fetch at a time for a domain, and none
// soon after one that failed. A caller that gives up does not take the others
// with it: one of them fetches.
func (s *Source) once(ctx context.Context, domain, id string) (Remembered, error) {
	for {
		s.mu.Lock()
		if last, ok := s.failures[domain]; ok && last.id == id && s.o.Now().Sub(last.at) < restAfterFailure {
			s.mu.Unlock()
			return Remembered{}, last.err
		}
		f := s.flights[domain]
		if f == nil {
			f = &flight{done: make(chan struct{})}
			s.flights[domain] = f
			s.mu.Unlock()
			s.fly(ctx, f, domain, id)
			return f.found, f.err
		}
		s.mu.Unlock()
		select {
		case <-f.done:
			if !f.abandoned {
				return f.found, f.err
			}
		case <-ctx.Done():
			return Remembered{}, context.Cause(ctx)
		}
	}
}

// fly fetches, remembers what came, and tells those who wait.
func (s *Source) fly(ctx context.Context, f *flight, domain, id string) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.flights, domain)
		delete(s.failures, domain)
		f.abandoned = f.err != nil && ctx.Err() != nil
		if f.err != nil && !f.abandoned {
			if len(s.failures) >= mostFailures {
				clear(s.failures)
			}
			s.failures[domain] = failure{id, s.o.Now(), f.err}
		}
		close(f.done)
	}()
	f.err = ErrFetch // stands if it panics
	policy, err := s.fetcher.fetch(ctx, domain)
	if f.err = err; err != nil {
		return
	}
	now := s.o.Now()
	f.found = Remembered{Policy: policy, ID: id, Fetched: now, Until: now.Add(policy.MaxAge)}
	s.memory.Store(ctx, domain, f.found)
	if s.o.Shared != nil {
		s.o.Shared.Store(ctx, domain, f.found)
	}
}

// Run fetches policies again before they end, once a day, so that whoever
// disturbs one fetch gains nothing (RFC 8461, section 10.2). It returns when
// ctx ends.
func (s *Source) Run(ctx context.Context) error {
	timer := time.NewTimer(patrol)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		now := s.o.Now()
		for _, domain := range s.memory.stale(now.Add(-refreshAfter), now) {
			if ctx.Err() != nil {
				return nil
			}
			s.refresh(ctx, domain)
		}
		timer.Reset(patrol - patrol/10 + rand.N(patrol/5)) // nodes do not knock together
	}
}

// refresh fetches a policy again, unless another node has done so.
func (s *Source) refresh(ctx context.Context, domain string) {
	have, _ := s.memory.Load(ctx, domain)
	if s.o.Shared != nil {
		if theirs, ok := s.o.Shared.Load(ctx, domain); ok && s.o.Now().Sub(theirs.Fetched) < refreshAfter {
			s.memory.Store(ctx, domain, theirs)
			return
		}
	}
	id, err := s.announced(ctx, domain)
	if err == nil {
		_, err = s.once(ctx, domain, id)
	}
	// RFC 8461, section 3.3: whoever runs the relay should hear of it.
	if err != nil && have.Policy.Mode != None && ctx.Err() == nil {
		s.o.Log.Warn("the MTA-STS policy of a domain could not be refreshed: the one in hand holds on",
			"domain", domain, "until", have.Until, "error", err)
	}
}
