package mtasts

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// world is a policy host, its DNS and a clock.
type world struct {
	mu      sync.Mutex
	texts   []string
	silent  bool // the DNS does not answer
	answer  http.HandlerFunc
	now     time.Time
	fetched atomic.Int32
	address string
	roots   *x509.CertPool
}

func newWorld(t *testing.T, names ...string) *world {
	t.Helper()
	w := &world{now: time.Unix(1_800_000_000, 0)}
	cert, pool := certificate(t, time.Now().Add(time.Hour), names...)
	w.roots = pool
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.fetched.Add(1)
		w.mu.Lock()
		answer := w.answer
		w.mu.Unlock()
		answer(rw, r)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	w.address = server.Listener.Addr().String()
	return w
}

func certificate(t *testing.T, until time.Time, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: names,
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func (w *world) source(shared Cache) *Source {
	return New(Options{
		TXT: func(_ context.Context, name string) ([]string, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.silent || name != "_mta-sts.example.com" {
				return nil, errors.New("no answer")
			}
			return w.texts, nil
		},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != "mta-sts.example.com:443" {
				return nil, fmt.Errorf("strange address %s", address)
			}
			return new(net.Dialer).DialContext(ctx, network, w.address)
		},
		Roots: w.roots, Shared: shared, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now },
	})
}

// publish has the DNS announce an id, and the host answer.
func (w *world) publish(id string, answer http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts, w.answer = nil, answer
	if id != "" {
		w.texts = []string{"v=STSv1; id=" + id}
	}
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// serve answers with a policy as its owner would.
func serve(mode, mx string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/mta-sts.txt" || r.Host != "mta-sts.example.com" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprintf(w, "version: STSv1\nmode: %s\nmx: %s\nmax_age: 86400\n", mode, mx)
	}
}

func fails(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "out of order", http.StatusInternalServerError)
}

func (w *world) expect(t *testing.T, s *Source, step, mx string, want error) {
	t.Helper()
	a := s.Policy(t.Context(), "Example.COM")
	switch {
	case mx == "" && a.Policy != nil, mx != "" && (a.Policy == nil || a.Policy.MX[0] != mx):
		t.Errorf("%s: policy %+v", step, a.Policy)
	case want == nil && a.Err != nil, !errors.Is(a.Err, want):
		t.Errorf("%s: error %v, want %v", step, a.Err, want)
	}
}

// TestPolicyLives: a policy is fetched once, again when another is announced,
// and holds on, whatever fails, until its time is over.
func TestPolicyLives(t *testing.T) {
	w := newWorld(t, "mta-sts.example.com")
	s := w.source(nil)
	w.publish("", fails)
	w.expect(t, s, "nothing announced", "", nil)
	w.publish("1", fails)
	w.expect(t, s, "no file", "", ErrFetch)
	w.publish("1", serve("enforce", "a.example.com"))
	w.expect(t, s, "soon after a failure", "", ErrFetch)
	w.pass(restAfterFailure)
	w.expect(t, s, "fetched", "a.example.com", nil)
	w.publish("1", serve("enforce", "b.example.com"))
	w.expect(t, s, "the same id", "a.example.com", nil)
	if n := w.fetched.Load(); n != 2 {
		t.Errorf("fetched %d times", n)
	}
	w.publish("2", serve("enforce", "b.example.com"))
	w.expect(t, s, "a new id", "b.example.com", nil)
	w.publish("3", fails)
	w.expect(t, s, "a newer one that fails", "b.example.com", ErrFetch)
	w.publish("", fails)
	w.expect(t, s, "announced no more", "b.example.com", nil)
	w.publish("!!", fails)
	w.expect(t, s, "a broken record", "b.example.com", ErrBadRecord)
	w.mu.Lock()
	w.silent = true
	w.mu.Unlock()
	w.expect(t, s, "no DNS", "b.example.com", nil)
	w.pass(24 * time.Hour)
	w.expect(t, s, "its time is over", "", nil)
}

// TestFetchRules are those of RFC 8461, section 3.3.
func TestFetchRules(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://mta-sts.example.com/other", http.StatusMovedPermanently)
		}, ErrFetch},
		"not found": {http.NotFound, ErrFetch},
		"created": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, good)
		}, ErrFetch},
		"a page": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, good)
		}, ErrFetch},
		"no type": {func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, good)
		}, ErrFetch},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, good)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("x: "+strings.Repeat("y", 900)+"\n", 64)); err != nil {
					return
				}
			}
		}, ErrBadPolicy},
		"cut off": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Length", "10000")
			_, _ = io.WriteString(w, good)
		}, ErrFetch},
		"nonsense": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, "nonsense")
		}, ErrBadPolicy},
	} {
		w := newWorld(t, "mta-sts.example.com")
		w.publish("1", c.answer)
		w.expect(t, w.source(nil), name, "", c.want)
		if w.fetched.Load() != 1 {
			t.Errorf("%s: asked %d times", name, w.fetched.Load())
		}
	}
}

// TestPolicyHostIsAuthenticated: the certificate is for mta-sts.DOMAIN, and by
// somebody who is trusted.
func TestPolicyHostIsAuthenticated(t *testing.T) {
	w := newWorld(t, "example.com", "www.example.com")
	w.publish("1", serve("enforce", "a.example.com"))
	w.expect(t, w.source(nil), "another name", "", ErrWebPKI)
	w = newWorld(t, "mta-sts.example.com")
	w.publish("1", serve("enforce", "a.example.com"))
	w.roots = x509.NewCertPool()
	w.expect(t, w.source(nil), "nobody vouches", "", ErrWebPKI)
	w = newWorld(t, "*.example.com")
	w.publish("1", serve("enforce", "a.example.com"))
	w.expect(t, w.source(nil), "a wildcard", "a.example.com", nil)
}

// TestNodesShareWhatTheyLearn: the second node follows a policy that the first
// one fetched, though the policy host is gone, and the newest one counts.
func TestNodesShareWhatTheyLearn(t *testing.T) {
	w := newWorld(t, "mta-sts.example.com")
	shared := new(Memory)
	first, second := w.source(shared), w.source(shared)
	w.publish("1", serve("enforce", "a.example.com"))
	w.expect(t, first, "first", "a.example.com", nil)
	w.publish("1", fails)
	w.expect(t, second, "second", "a.example.com", nil)
	w.pass(time.Hour)
	w.publish("2", serve("enforce", "b.example.com"))
	w.expect(t, second, "second learns", "b.example.com", nil)
	w.publish("2", fails)
	w.expect(t, first, "first hears", "b.example.com", nil)
	w.publish("", fails)
	w.expect(t, w.source(shared), "a third, without DNS", "b.example.com", nil)
}

// TestRefresh: a policy in use is fetched again before it ends.
func TestRefresh(t *testing.T) {
	w := newWorld(t, "mta-sts.example.com")
	shared := new(Memory)
	s := w.source(shared)
	w.publish("1", serve("enforce", "a.example.com"))
	w.expect(t, s, "fetched", "a.example.com", nil)
	w.pass(23 * time.Hour)
	if list := s.memory.stale(w.now.Add(-refreshAfter), w.now); len(list) != 0 {
		t.Errorf("refreshed too soon: %v", list)
	}
	w.publish("1", serve("enforce", "b.example.com"))
	s.refresh(t.Context(), "example.com") // another node has not, and ours is of today
	w.expect(t, s, "of today", "a.example.com", nil)
	w.pass(59 * time.Minute)
	old := s.memory.policies["example.com"]
	old.Fetched = w.now.Add(-25 * time.Hour)
	s.memory.Store(t.Context(), "example.com", old)
	shared.Store(t.Context(), "example.com", old)
	if list := s.memory.stale(w.now.Add(-refreshAfter), w.now); len(list) != 1 {
		t.Fatalf("not refreshed: %v", list)
	}
	s.refresh(t.Context(), "example.com")
	w.pass(2 * time.Hour) // the first fetch would be over
	w.publish("", fails)
	w.expect(t, s, "refreshed", "b.example.com", nil)
}

// TestOneFetchAtATime: many who ask at once cost one fetch.
func TestOneFetchAtATime(t *testing.T) {
	w := newWorld(t, "mta-sts.example.com")
	s := w.source(nil)
	asked, goOn := make(chan struct{}), make(chan struct{})
	w.publish("1", func(rw http.ResponseWriter, r *http.Request) {
		close(asked)
		<-goOn
		serve("enforce", "a.example.com")(rw, r)
	})
	var all sync.WaitGroup
	all.Go(func() { w.expect(t, s, "first", "a.example.com", nil) })
	<-asked
	for range 10 {
		all.Go(func() { w.expect(t, s, "another", "a.example.com", nil) })
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a := s.Policy(ctx, "example.com"); a.Policy != nil {
		t.Error("who does not wait gets nothing")
	}
	close(goOn)
	all.Wait()
	if n := w.fetched.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var m Memory
	now := time.Now()
	for i := range mostRemembered + 100 {
		m.Store(t.Context(), fmt.Sprint(i), Remembered{Until: now.Add(time.Duration(i))})
	}
	if len(m.policies) != mostRemembered {
		t.Errorf("%d remembered", len(m.policies))
	}
}

func TestNoDomainNoPolicy(t *testing.T) {
	w := newWorld(t, "mta-sts.example.com")
	for _, domain := range []string{"", "192.0.2.1", "a b"} {
		if a := w.source(nil).Policy(t.Context(), domain); a != (Answer{}) {
			t.Errorf("%q: %+v", domain, a)
		}
	}
}
