package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"quorumta/delivery/transport"
	"quorumta/delivery/transport/local"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

// source is a message.
type source struct {
	content string
	facts   policy.Facts
}

func (s source) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s.content)), nil }
func (s source) Facts(int) *policy.Facts      { return &s.facts }

func message(content, to string) *transport.Message {
	rcpt := mail.Address{Local: to, Domain: "them.example"}
	from := mail.Address{Local: "me", Domain: "us.example"}
	return &transport.Message{
		ID: "03e6nkxc0001w1vmbsd5", From: from, Recipients: []mail.Recipient{{Address: rcpt}},
		Size: int64(len(content)), Content: strings.NewReader(content),
		Again: source{content, policy.Facts{Sender: from, Rcpt: rcpt, ClientIP: netip.MustParseAddr("192.0.2.9"), Login: "robot"}},
	}
}

func template(t *testing.T, s string) local.Template {
	t.Helper()
	env, err := policy.NewEnv(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	x, err := local.Parse(s, func(expr string) (*policy.Text, error) { return env.Text(expr) })
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// server answers as f does, and counts its connections.
type server struct {
	*httptest.Server
	mu          sync.Mutex
	connections int
}

func serve(t *testing.T, secure bool, f http.HandlerFunc) *server {
	t.Helper()
	s := &server{Server: httptest.NewUnstartedServer(f)}
	s.EnableHTTP2 = true
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mu.Lock()
			s.connections++
			s.mu.Unlock()
		}
	}
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// to posts to a server, whose certificate is trusted.
func to(t *testing.T, s *server) *Transport {
	t.Helper()
	roots := x509.NewCertPool()
	if cert := s.Certificate(); cert != nil {
		roots.AddCert(cert)
	}
	return New(Options{
		URL: template(t, s.URL+"/mail/${rcpt.local}?x=1"), Host: "them.example",
		Headers: map[string]local.Template{"Authorization": template(t, "Bearer sesame"), "X-For": template(t, "<${rcpt.address}>")},
		TLS:     &tls.Config{RootCAs: roots},
	})
}

func send(t *testing.T, x *Transport, m *transport.Message) (transport.Result, error) {
	t.Helper()
	c, err := x.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Leave(t.Context())
	return c.Send(t.Context(), m)
}

// TestPost: what the server gets, over HTTP/1.1 and over HTTP/2; several messages
// use one connection; a further attempt has the same key, another recipient
// another one.
func TestPost(t *testing.T) {
	for protocol, secure := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(protocol, func(t *testing.T) {
			var got []*http.Request
			var bodies []string
			s := serve(t, secure, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				got, bodies = append(got, r), append(bodies, string(body))
				w.WriteHeader(http.StatusAccepted)
			})
			x := to(t, s)
			large := "Subject: x\r\n\r\n" + strings.Repeat("0123456789\r\n", 100_000)
			for _, who := range []string{"a/b ü", "a/b ü", "otto"} {
				looks := 0
				m := message(large, who)
				m.BeforeDot = func() error { looks++; return nil }
				res, err := send(t, x, m)
				if err != nil || !res.Dot || res.FinalOf(0).String() != "250 2.0.0 HTTP 202 Accepted" || looks != 1 {
					t.Fatalf("%+v, %v, %d looks", res, err, looks)
				}
			}
			if s.connections != 1 {
				t.Errorf("%d connections", s.connections)
			}
			r := got[0]
			if r.Proto != protocol || r.Method != "POST" || r.RequestURI != "/mail/a%2Fb%20%C3%BC?x=1" || r.ContentLength != int64(len(large)) || bodies[0] != large {
				t.Errorf("%s %s %s, %d octets", r.Proto, r.Method, r.RequestURI, r.ContentLength)
			}
			for name, want := range map[string]string{
				"Content-Type": "message/rfc822", "Authorization": "Bearer sesame", "Quorumta-Id": "03e6nkxc0001w1vmbsd5",
				"Quorumta-Sender": "me@us.example", "Quorumta-Recipient": `=?utf-8?q?"a/b_=C3=BC"@them.example?=`,
				"Quorumta-Client": "192.0.2.9", "Quorumta-Login": "robot",
			} {
				if r.Header.Get(name) != want {
					t.Errorf("%s: %q, want %q", name, r.Header.Get(name), want)
				}
			}
			key := func(i int) string { return got[i].Header.Get("Idempotency-Key") }
			if !strings.HasPrefix(key(0), `"03e6nkxc0001w1vmbsd5-`) || key(0) != key(1) || key(0) == key(2) {
				t.Errorf("%s %s %s", key(0), key(1), key(2))
			}
		})
	}
}

func TestStatus(t *testing.T) {
	for status, want := range map[int]string{
		200: "250 2.0.0 HTTP 200 OK", 204: "250 2.0.0 HTTP 204 No Content",
		400: "554 5.3.0 HTTP 400 Bad Request:\nno ?", 404: "554 5.3.0", 413: "552 5.3.4",
		401: "451 4.7.8", 407: "451 4.7.8", 408: "451 4.3.0", 425: "451 4.3.0", 429: "451 4.3.0", 500: "451 4.3.0 HTTP 500 Internal Server Error:\nno ?", 503: "451 4.3.0",
		302: "451 4.3.5 HTTP 302 Found to /other: redirections are not followed",
	} {
		s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", "/other")
			w.WriteHeader(status)
			if status >= 400 {
				_, _ = io.WriteString(w, "no \x1b\n")
			}
		})
		res, err := send(t, to(t, s), message("x\r\n", "a"))
		if got := res.FinalOf(0).String(); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%d: %q, want %q, %v", status, got, want, err)
		}
	}
}

// TestBeforeTheEnd: a server has not got the message, and knows it, where the last
// look says no or the content cannot be read.
func TestBeforeTheEnd(t *testing.T) {
	stale := errors.New("stale")
	for name, change := range map[string]func(*transport.Message){
		"the look":    func(m *transport.Message) { m.BeforeDot = func() error { return stale } },
		"the content": func(m *transport.Message) { m.Content = io.MultiReader(strings.NewReader("half"), bad{stale}) },
	} {
		for _, secure := range []bool{false, true} {
			whole := make(chan error, 1)
			s := serve(t, secure, func(w http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				whole <- err
			})
			m := message(strings.Repeat("0123456789\r\n", 10_000), "a")
			change(m)
			res, err := send(t, to(t, s), m)
			var e *transport.Error
			if !errors.As(err, &e) || !e.Ours || !errors.Is(err, stale) || res.Dot || res.FinalOf(0).Code != 0 {
				t.Errorf("%s: %+v, %v", name, res, err)
			}
			select {
			case err := <-whole:
				if err == nil {
					t.Errorf("%s: the server has the message", name)
				}
			case <-time.After(10 * time.Second): // or it was never told of it
			}
		}
	}
}

type bad struct{ err error }

func (b bad) Read([]byte) (int, error) { return 0, b.err }

// TestNoAnswer: after the last block it is doubt, before it nobody has anything.
func TestNoAnswer(t *testing.T) {
	silent := serve(t, false, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	gone := serve(t, false, func(http.ResponseWriter, *http.Request) {})
	gone.Close()
	hangsUp := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	})
	for _, c := range []struct {
		name  string
		s     *server
		phase transport.Phase
		dot   bool
		late  bool
	}{{"silent", silent, transport.PhaseDot, true, true}, {"gone", gone, 0, false, false}, {"hangs up", hangsUp, transport.PhaseDot, true, false}} {
		x := to(t, c.s)
		x.client.Transport.(*http.Transport).ResponseHeaderTimeout = 100 * time.Millisecond
		res, err := send(t, x, message("x\r\n", "a"))
		var e *transport.Error
		if !errors.As(err, &e) || e.Ours || e.Phase != c.phase || res.Dot != c.dot || e.Timeout() != c.late || res.FinalOf(0).Code != 0 {
			t.Errorf("%s: %+v, %v", c.name, res, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	m := message("x\r\n", "a")
	m.BeforeDot = func() error { cancel(); return nil }
	res, err := (&conn{Transport: to(t, silent)}).Send(ctx, m)
	var e *transport.Error
	if !errors.As(err, &e) || !e.Ours || !errors.Is(err, context.Canceled) || !res.Dot {
		t.Errorf("ended: %+v, %v", res, err)
	}
}

// A server that answers before it has read everything is believed, once the claim
// is on record.
func TestEarlyAnswer(t *testing.T) {
	answered := make(chan struct{})
	s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		close(answered)
	})
	half := strings.Repeat("x", 500_000)
	looks := 0
	m := message("", "a")
	m.Size = 2 * int64(len(half))
	m.Content = io.MultiReader(strings.NewReader(half), after{answered, strings.NewReader(half)})
	m.BeforeDot = func() error { looks++; return nil }
	res, err := send(t, to(t, s), m)
	if err != nil || !res.Dot || !res.FinalOf(0).Positive() || looks != 1 {
		t.Errorf("%+v, %v, %d looks", res, err, looks)
	}
}

// after reads when something has happened.
type after struct {
	it <-chan struct{}
	r  io.Reader
}

func (a after) Read(p []byte) (int, error) {
	<-a.it
	return a.r.Read(p)
}

// Only who is trusted gets mail.
func TestUntrusted(t *testing.T) {
	s := serve(t, true, func(http.ResponseWriter, *http.Request) { t.Error("asked") })
	x := New(Options{URL: template(t, s.URL)})
	res, err := send(t, x, message("x\r\n", "a"))
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) || res.Dot {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestRetryAfter: a server that wants to be left alone is.
func TestRetryAfter(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for after, want := range map[string]time.Duration{
		"90": 90 * time.Second, start.Add(2 * time.Minute).Format(http.TimeFormat): 2 * time.Minute,
		"1000000": time.Hour, "": 0, "soon": 0, "-5": 0, start.Add(-time.Hour).Format(http.TimeFormat): 0,
	} {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			s := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Retry-After", after)
				w.WriteHeader(status)
			})
			now := start
			x := to(t, s)
			x.o.Now = func() time.Time { return now }
			c, err := x.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if res, err := c.Send(t.Context(), message("x\r\n", "a")); err != nil || res.FinalOf(0).Code != 451 {
				t.Errorf("%+v, %v", res, err)
			}
			if c.Closed() != (want > 0) {
				t.Errorf("%q: closed %t", after, c.Closed())
			}
			if now = start.Add(want - time.Second); want > 0 {
				var e *transport.Error
				if _, err := x.Open(t.Context()); !errors.As(err, &e) || e.Reply.Code != 451 || !strings.Contains(e.Reply.Text, "left alone until 2026-01-01T0") {
					t.Errorf("%q: %v", after, err)
				}
			}
			now = start.Add(want + time.Second)
			if _, err := x.Open(t.Context()); err != nil {
				t.Errorf("%q: %v", after, err)
			}
		}
	}
}

// What is wrong in the configuration waits for the operator.
func TestSetup(t *testing.T) {
	for _, x := range []*Transport{
		New(Options{URL: template(t, `http://127.0.0.1:1/${rcpt.domain.split(".")[7]}`)}),
		New(Options{URL: template(t, "http://[::1")}),
		New(Options{URL: template(t, "http://127.0.0.1:1/"), Headers: map[string]local.Template{"A": template(t, `${rcpt.domain.split(".")[7]}`)}}),
	} {
		if res, err := send(t, x, message("x\r\n", "a")); err != nil || res.FinalOf(0).Code != 451 || res.FinalOf(0).Enhanced != "4.3.5" || res.Dot {
			t.Errorf("%+v, %v", res, err)
		}
	}
}
