package main_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"

	gosmtp "github.com/emersion/go-smtp"

	"quorumta/bench/proc"
)

// letters is a next hop that keeps what it gets.
type letters struct {
	mu  sync.Mutex
	got [][]byte
}

// NewSession implements gosmtp.Backend.
func (l *letters) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return letter{l}, nil }

type letter struct{ *letters }

func (letter) Reset()                                 {}
func (letter) Logout() error                          { return nil }
func (letter) Mail(string, *gosmtp.MailOptions) error { return nil }
func (letter) Rcpt(string, *gosmtp.RcptOptions) error { return nil }
func (l letter) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, text)
	return err
}

// keep runs letters until the test ends and returns where.
func keep(t *testing.T, l *letters) string {
	t.Helper()
	server := gosmtp.NewServer(l)
	server.Domain = "last.example"
	return listen(t, server)
}

// listen runs a server until the test ends and returns where.
func listen(t *testing.T, server *gosmtp.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return listener.Addr().String()
}

// relay runs a relay of one node in front of a next hop that it trusts.
func relay(t *testing.T, next, collector string) *proc.Cluster {
	t.Helper()
	return started(t, proc.Options{
		Nodes: 1, Smarthost: next,
		Edit: func(_ string, config []byte) []byte { return hosts.ReplaceAll(config, []byte("$0, trace: true")) },
		Env: []string{
			"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_METRICS_EXPORTER=none",
		},
	})
}

var traceparent = regexp.MustCompile(`(?m)^traceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-01\r?$`)

// TestOneTraceOverTwoRelays: the next hop is told the trace, and what it does
// with the message is part of it.
func TestOneTraceOverTwoRelays(t *testing.T) {
	server := httptest.NewServer(&spans{})
	t.Cleanup(server.Close)
	var last letters
	second := relay(t, keep(t, &last), server.URL)
	first := relay(t, second.Nodes[0].SMTP, server.URL)
	if err := submit(first.Nodes[0].SMTP, "a@client.example", "b@last.example", "Subject: two hops\r\n\r\nx\r\n"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the message", func(context.Context) bool {
		last.mu.Lock()
		defer last.mu.Unlock()
		return len(last.got) == 1
	})
	told := traceparent.FindAllSubmatch(last.got[0], -1)
	if len(told) != 2 || !bytes.Equal(told[0][1], told[1][1]) || bytes.Equal(told[0][2], told[1][2]) {
		t.Fatalf("two spans of one trace are expected:\n%s", last.got[0])
	}
	trace := string(told[0][1])
	for _, c := range []*proc.Cluster{first, second} {
		if got := acceptedTrace(t.Context(), t, c); got != trace {
			t.Errorf("a hop has the message in trace %s, the other in %s", got, trace)
		}
	}
}
