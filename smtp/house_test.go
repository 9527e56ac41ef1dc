package smtp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/queue"
	"quorumta/queue/event"
	"quorumta/queue/state"
	"quorumta/smtp"
)

// house is a server in front of a queue on a cluster of one, in memory.
type house struct {
	t       testing.TB
	queue   *queue.Queue
	server  *smtp.Server
	ended   chan error
	offices chan *queue.Office
	log     *lines
}

// lines is a log that tests read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// open runs a server; change may alter its options, which accept mail for
// example.org from anywhere, on one listener.
func open(t testing.TB, change func(*smtp.Options)) *house {
	t.Helper()
	h := &house{t: t, ended: make(chan error, 1), offices: make(chan *queue.Office, 4), log: &lines{}}
	h.openQueue()
	o := smtp.Options{
		Queue:     h.queue,
		Hostname:  "relay1.example.com",
		Listeners: []smtp.Listener{{Name: "mx", Address: "127.0.0.1:0", TLS: smtp.TLSOff}},
		Policy:    testPolicy(t, `rcpt.domain == "example.org"`),
		Log:       slog.New(slog.NewTextHandler(h.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	server, err := smtp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	h.server = server
	ctx, cancel := context.WithCancel(context.Background())
	go func() { h.ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-h.ended; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(h.log.String())
		}
	})
	return h
}

func (h *house) openQueue() {
	quiet := slog.New(slog.DiscardHandler)
	node, err := cluster.Open(cluster.Options{Name: "n1", Shards: 1, FS: vfs.NewMem(), MemoryBytes: 16 << 20, Log: quiet})
	if err != nil {
		h.t.Fatal(err)
	}
	h.queue = queue.New(node, queue.Options{Log: quiet, SpoolDir: h.t.TempDir()})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 3)
	go func() { done <- node.Run(ctx) }()
	go func() { done <- h.queue.Run(ctx) }()
	go func() {
		done <- h.queue.Offices(ctx, func(ctx context.Context, o *queue.Office) {
			h.offices <- o
			<-ctx.Done()
		})
	}()
	h.t.Cleanup(func() {
		cancel()
		for range 3 {
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				h.t.Error(err)
			}
		}
		if err := node.Close(); err != nil {
			h.t.Error(err)
		}
	})
	select {
	case o := <-h.offices:
		h.offices <- o
	case <-time.After(20 * time.Second):
		h.t.Fatal("nobody leads")
	}
}

// message reads a message that was accepted, and its content.
func (h *house) message(id mail.MessageID) (*state.Message, string) {
	h.t.Helper()
	o := <-h.offices
	h.offices <- o
	m, ok := o.Message(id)
	if !ok {
		h.t.Fatalf("%s is not in the queue", id)
	}
	r, _, err := o.Content(id)
	if err != nil {
		h.t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		h.t.Fatal(err)
	}
	return m, string(content)
}

// count is how many messages are open.
func (h *house) count() uint64 {
	h.t.Helper()
	totals, err := h.queue.Count(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return totals.Total
}

func (h *house) address() string { return h.server.Addresses()[0].String() }

// accepted is the event with which the message came.
func (h *house) accepted(id mail.MessageID) *event.Accepted {
	h.t.Helper()
	_, records, err := h.queue.Show(h.t.Context(), id)
	if err != nil || len(records) == 0 {
		h.t.Fatalf("history of %s: %v, %v", id, records, err)
	}
	a, ok := records[0].Event.(*event.Accepted)
	if !ok {
		h.t.Fatalf("the history begins with %T", records[0].Event)
	}
	return a
}

func testPolicy(t testing.TB, accept string) smtp.Policy {
	t.Helper()
	env, err := policy.NewEnv(map[string][]netip.Prefix{
		"loopback": {netip.MustParsePrefix("127.0.0.0/8")},
		"nobody":   {netip.MustParsePrefix("192.0.2.0/24")},
	}, map[string][]string{})
	if err != nil {
		t.Fatal(err)
	}
	condition, err := env.Condition(accept)
	if err != nil {
		t.Fatal(err)
	}
	return smtp.Policy{Env: env, Rcpt: []policy.Rule{{Name: "inbound", If: condition, Do: policy.Accept}}}
}

// client is a hand at the keyboard.
type client struct {
	t    testing.TB
	conn net.Conn
	in   []byte
}

func (h *house) dial() *client {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.address())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	return &client{t: h.t, conn: conn}
}

// say sends text as it is.
func (c *client) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// hear waits for a reply that begins with want and returns it.
func (c *client) hear(want string) string {
	c.t.Helper()
	var reply strings.Builder
	for {
		line := c.line()
		reply.WriteString(line)
		if len(line) < 4 || line[3] != '-' {
			break
		}
	}
	if !strings.HasPrefix(reply.String(), want) {
		c.t.Fatalf("heard %q, want %s", reply.String(), want)
	}
	return reply.String()
}

func (c *client) line() string {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		if i := bytes.IndexByte(c.in, '\n'); i >= 0 {
			line := string(c.in[:i+1])
			c.in = c.in[i+1:]
			return line
		}
		buf := make([]byte, 4096)
		n, err := c.conn.Read(buf)
		c.in = append(c.in, buf[:n]...)
		if err != nil && n == 0 {
			c.t.Fatalf("reading: %v after %q", err, c.in)
		}
	}
}

// gone waits for the end of the connection.
func (c *client) gone() {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if rest, err := io.ReadAll(c.conn); len(rest)+len(c.in) > 0 || errors.Is(err, context.DeadlineExceeded) {
		c.t.Fatalf("heard %q%q, %v instead of the end", c.in, rest, err)
	}
}

// ask sends a line and waits for the reply.
func (c *client) ask(line, want string) string {
	c.t.Helper()
	c.say(line + "\r\n")
	return c.hear(want)
}

// send sends a message and returns its id.
func (c *client) send(content string) mail.MessageID {
	c.t.Helper()
	c.ask("MAIL FROM:<a@example.net>", "250")
	c.ask("RCPT TO:<b@example.org>", "250")
	c.ask("DATA", "354")
	return idOf(c.t, c.ask(content+".", "250 2.0.0 Ok: queued as "))
}

func idOf(t testing.TB, reply string) mail.MessageID {
	t.Helper()
	words := strings.Fields(reply)
	id, err := mail.ParseMessageID(words[len(words)-1])
	if err != nil {
		t.Fatalf("%q: %v", reply, err)
	}
	return id
}

// serverTLS is a configuration with a new certificate.
func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"relay1.example.com"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }}
}
