package webhook

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"quorumta/delivery/transport"
	"quorumta/delivery/transport/local"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

// Options say where messages are posted. Zero means a default only where it is
// said.
type Options struct {
	URL local.Template
	// Host is what the record calls the server.
	Host string
	// Headers are fields beside our own.
	Headers map[string]local.Template
	// Timeout is for connecting, for the TLS handshake, and for the answer when the
	// body has left; 30 s.
	Timeout time.Duration
	// TLS holds the roots that are trusted; nil means the system's.
	TLS *tls.Config
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
}

// Transport implements transport.Opener.
type Transport struct {
	o      Options
	client *http.Client

	mu sync.Mutex
	// rest is until when the server wants to be left alone.
	rest time.Time
}

const (
	// mostTime is how long one request may take: a server that reads slowly.
	mostTime = 10 * time.Minute
	// mostRest is how long a server's Retry-After is heeded.
	mostRest = time.Hour
	// mostSaid is how much of an answer is read for the record.
	mostSaid = 1000
)

// New makes a Transport.
func New(o Options) *Transport {
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Transport{o: o, client: &http.Client{
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: o.Timeout}).DialContext,
			TLSClientConfig:       o.TLS,
			TLSHandshakeTimeout:   o.Timeout,
			ResponseHeaderTimeout: o.Timeout,
			ForceAttemptHTTP2:     true,
			MaxIdleConnsPerHost:   60,
			IdleConnTimeout:       90 * time.Second,
		},
		// A POST that is redirected becomes something else: the operator shall say
		// where it goes.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Open implements transport.Opener. Connections are the client's, which keeps them
// for others; while the server wants to be left alone there is none.
func (t *Transport) Open(context.Context) (transport.Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if rest := t.rest.Sub(t.o.Now()); rest > 0 {
		text := "the server asked to be left alone until " + t.rest.UTC().Format(time.RFC3339)
		return nil, &transport.Error{Reply: mail.Reply{Code: 451, Enhanced: "4.3.2", Text: text}}
	}
	return &conn{Transport: t}, nil
}

// conn is the right to post.
type conn struct {
	*Transport
	// resting: the server has asked to be left alone.
	resting bool
}

// Peer implements transport.Conn.
func (c *conn) Peer() transport.Peer {
	return transport.Peer{Host: c.o.Host, Delivers: true, Recipients: 1}
}

// Closed implements transport.Conn.
func (c *conn) Closed() bool { return c.resting }

// Leave implements transport.Conn.
func (c *conn) Leave(context.Context) {}

// Send implements transport.Conn, for a message of one recipient.
func (c *conn) Send(ctx context.Context, m *transport.Message) (transport.Result, error) {
	res := transport.Result{Rcpts: make([]mail.Reply, 1), Finals: make([]mail.Reply, 1)}
	body := newBody(m)
	bounded, cancel := context.WithTimeout(ctx, mostTime)
	defer cancel()
	request, err := c.request(bounded, m, body)
	if err != nil {
		res.Finals[0] = mail.Reply{Code: 451, Enhanced: "4.3.5", Text: err.Error()}
		return res, nil
	}
	answer, err := c.client.Do(request)
	var said string
	if err == nil {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, mostSaid))
		said = local.Clean(string(text))
		_ = answer.Body.Close()
	}
	body.end()
	if err != nil {
		res.Dot = body.looked && body.fault == nil
		return res, c.failure(ctx, body, err)
	}
	res.Finals[0] = c.verdict(answer, said)
	if res.Finals[0].Positive() && !body.looked {
		// It has answered before it had everything: the claim must be on record
		// before that counts.
		_ = m.Look()
	}
	res.Dot = body.looked || res.Finals[0].Positive()
	return res, nil
}

// request is what is posted.
func (c *conn) request(ctx context.Context, m *transport.Message, body *body) (*http.Request, error) {
	f := m.Again.Facts(0)
	where, err := c.o.URL.Eval(f, url.PathEscape)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, where, body)
	if err != nil {
		return nil, err
	}
	r.ContentLength = m.Size
	for name, x := range c.o.Headers {
		value, err := x.Eval(f, field)
		if err != nil {
			return nil, err
		}
		r.Header.Set(name, value)
	}
	for name, value := range metadata(m, f) {
		r.Header.Set(name, field(value))
	}
	return r, nil
}

// metadata are the fields that say what the message is.
func metadata(m *transport.Message, f *policy.Facts) map[string]string {
	kind := "message/rfc822"
	if m.UTF8 {
		kind = "message/global" // RFC 6532, section 3.7
	}
	who := sha256.Sum256([]byte(f.Rcpt.String()))
	fields := map[string]string{
		"Content-Type": kind, "User-Agent": "quorumta",
		"Idempotency-Key":    fmt.Sprintf(`"%s-%x"`, m.ID, who[:8]),
		"Quorumta-Id":        string(m.ID),
		"Quorumta-Sender":    m.From.String(),
		"Quorumta-Recipient": f.Rcpt.String(),
	}
	if f.ClientIP.IsValid() {
		fields["Quorumta-Client"] = f.ClientIP.String()
	}
	if f.Login != "" {
		fields["Quorumta-Login"] = f.Login
	}
	return fields
}

// field makes a text fit for a field: what is not ASCII is encoded as in mail (RFC
// 2047).
func field(s string) string { return mime.QEncoding.Encode("utf-8", s) }

// failure says why there is no answer.
func (c *conn) failure(ctx context.Context, b *body, err error) error {
	e := &transport.Error{Err: err}
	switch {
	case b.fault != nil:
		e.Phase, e.Err, e.Ours = transport.PhaseContent, b.fault, true
	case b.looked:
		e.Phase = transport.PhaseDot
	case b.begun:
		e.Phase = transport.PhaseContent
	}
	if ctx.Err() != nil && b.fault == nil {
		e.Err, e.Ours = context.Cause(ctx), true
	}
	return e
}
