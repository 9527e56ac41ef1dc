package smtp_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"quorumta/cluster"
	"quorumta/queue"
	"quorumta/smtp"
)

func TestWithoutMajorityMailIsA451(t *testing.T) {
	h := open(t, func(o *smtp.Options) {
		// A queue whose node does not run has no shard that takes mail.
		quiet := slog.New(slog.DiscardHandler)
		node, err := cluster.Open(cluster.Options{Name: "n1", Shards: 1, FS: vfs.NewMem(), MemoryBytes: 16 << 20, Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = node.Close() })
		o.Queue = queue.New(node, queue.Options{Log: quiet, SpoolDir: t.TempDir()})
	})
	c := h.dial()
	c.hear("220")
	c.ask("EHLO x", "250")
	began := time.Now()
	c.ask("MAIL FROM:<a@example.net>", "451 4.3.0")
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v", took)
	}
	c.ask("RCPT TO:<b@example.org>", "503")
	c.ask("DATA", "503")
	c.ask("NOOP", "250")
}

func TestClientCutOffInContent(t *testing.T) {
	h := open(t, nil)
	c := h.dial()
	c.hear("220")
	c.ask("EHLO x", "250")
	c.ask("MAIL FROM:<a@example.net>", "250")
	c.ask("RCPT TO:<b@example.org>", "250")
	c.ask("DATA", "354")
	c.say("half a mess")
	if err := c.conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.server.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.count() != 0 {
		t.Error("half a message was queued")
	}
}

func TestSetPolicy(t *testing.T) {
	h := open(t, nil)
	c := h.dial()
	c.hear("220")
	c.ask("EHLO x", "250")
	c.ask("MAIL FROM:<a@example.net>", "250")
	h.server.SetPolicy(testPolicy(t, `rcpt.domain == "example.com"`))
	c.ask("RCPT TO:<b@example.org>", "250") // the transaction goes on as it began
	c.ask("RSET", "250")
	c.ask("MAIL FROM:<a@example.net>", "250")
	c.ask("RCPT TO:<b@example.org>", "550 5.7.1")
	c.ask("RCPT TO:<b@example.com>", "250")
}

func TestTraceOfTrustedClientsGoesOn(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, trusted := range []string{"loopback", "nobody", ""} {
		spans := tracetest.NewSpanRecorder()
		h := open(t, func(o *smtp.Options) {
			o.Policy.Trusted = trusted
			o.Tracer = sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)).Tracer("")
		})
		c := h.dial()
		c.hear("220")
		c.ask("EHLO x", "250")
		id := c.send("traceparent: " + parent + "\r\n\r\nx\r\n")
		c.ask("QUIT", "221")
		c.gone()
		got := h.accepted(id).Trace
		believed := fmt.Sprintf("%x", got.TraceID) == "0af7651916cd43dd8448eb211c80319c"
		if believed != (trusted == "loopback") || got.SpanID == [8]byte{} {
			t.Errorf("trusted %q: trace %x", trusted, got)
		}
		var names []string
		for _, s := range spans.Ended() {
			names = append(names, s.Name())
			if s.SpanContext().TraceID() != got.TraceID {
				t.Errorf("span %s is of another trace", s.Name())
			}
		}
		if strings.Join(names, " ") != "policy.rcpt smtp.transaction" {
			t.Errorf("spans %v", names)
		}
	}
}

// TestIdleConnectionsAreCheap: 10,000 of them must not need 300 MB, so one in
// the clear has 16 KiB at most, with its stack. The clients are bare sockets, so
// that only the server's end is measured.
func TestIdleConnectionsAreCheap(t *testing.T) {
	const connections, most = 400, 16 << 10
	h := open(t, func(o *smtp.Options) { o.Limits.PerClient = connections + 1 })
	used := func() int64 {
		runtime.GC()
		runtime.GC() // the first one shrinks stacks
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	before := used()
	said := []string{"EHLO x\r\n", "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@elsewhere.example>\r\nRSET\r\n"}
	for range connections {
		s := bareSocket(t, h.address())
		for _, text := range append([]string{""}, said...) {
			s.say(text)
			s.hear()
		}
	}
	per := (used() - before) / connections
	t.Logf("an idle connection costs %d octets", per)
	if per > most {
		t.Errorf("an idle connection costs %d octets, want %d at most", per, most)
	}
}

// socket is a client that the runtime knows nothing of.
type socket struct {
	t  testing.TB
	fd int
}

func bareSocket(t testing.TB, address string) socket {
	t.Helper()
	to := netip.MustParseAddrPort(address)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	return socket{t, fd}
}

func (s socket) say(text string) {
	s.t.Helper()
	if _, err := syscall.Write(s.fd, []byte(text)); err != nil {
		s.t.Fatal(err)
	}
}

// hear waits for something.
func (s socket) hear() {
	s.t.Helper()
	var buf [1024]byte
	if n, err := syscall.Read(s.fd, buf[:]); n <= 0 {
		s.t.Fatal(n, err)
	}
}
