package wire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"quorumta/internal/sim"
)

// welcoming runs a port that lets nodes join by f.
func welcoming(t *testing.T, n *sim.Network, ca *authority, f func(context.Context, []byte) ([]byte, error)) {
	t.Helper()
	p, err := New(Options{
		Self: "a/i", Cluster: "c", Listen: "a:1", Members: map[string]string{"a": "a:1", "b": "b:1"},
		TLS: ca.config("a"), Join: f, CA: ca.cert.Raw,
		Network: n.Host("a"), Log: slog.New(slog.DiscardHandler), Meter: noop.NewMeterProvider().Meter(""),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
}

// Who has no certificate joins by the digest of the CA's alone, and a request
// reaches nobody else.
func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, ca := sim.NewNetwork(), newAuthority(t)
		var asked atomic.Int32
		welcoming(t, n, ca, func(_ context.Context, request []byte) ([]byte, error) {
			asked.Add(1)
			if string(request) != "secret" {
				return nil, errors.New("the token is not known")
			}
			return []byte("welcome"), nil
		})
		pin := sha256.Sum256(ca.cert.Raw)
		host := n.Host("new")
		answer, err := Join(t.Context(), host, "a:1", pin, []byte("secret"))
		if err != nil || string(answer) != "welcome" {
			t.Fatalf("%q, %v", answer, err)
		}
		var no *JoinError
		start := time.Now()
		if _, err := Join(t.Context(), host, "a:1", pin, []byte("guess")); !errors.As(err, &no) || no.Text != "the token is not known" {
			t.Errorf("a wrong secret: %v", err)
		}
		if took := time.Since(start); took < joinDelay {
			t.Errorf("a wrong secret is answered after %v", took)
		}
		asked.Store(0)
		other := sha256.Sum256(newAuthority(t).cert.Raw)
		if _, err := Join(t.Context(), host, "a:1", other, []byte("secret")); err == nil || !strings.Contains(err.Error(), "another cluster") {
			t.Errorf("another CA: %v", err)
		}
		if _, err := Join(t.Context(), host, "a:1", pin, make([]byte, joinRequest+1)); err == nil {
			t.Error("a request that is too long is sent")
		}
		if asked.Load() != 0 {
			t.Error("a secret was sent to a port that did not show the CA")
		}
		if _, err := Join(t.Context(), host, "b:1", pin, []byte("secret")); err == nil {
			t.Error("joined where nobody listens")
		}
	})
}

// A port refuses whom it is not told to let join, and asks everybody else for
// a certificate as before.
func TestNobodyJoinsUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, ca := sim.NewNetwork(), newAuthority(t)
		open(t, n, "b", "c", ca.config("b"))
		if _, err := Join(t.Context(), n.Host("new"), "b:1", sha256.Sum256(ca.cert.Raw), []byte("secret")); err == nil {
			t.Error("joined a port without Join")
		}
		welcoming(t, n, ca, func(context.Context, []byte) ([]byte, error) { return nil, nil })
		for _, protocols := range [][]string{{joinProtocol, callProtocol}, {callProtocol}, {raftProtocol}, nil} {
			conn, err := n.Host("new").Dial(t.Context(), "a:1")
			if err != nil {
				t.Fatal(err)
			}
			secure := tls.Client(conn, &tls.Config{NextProtos: protocols, InsecureSkipVerify: true})
			err = secure.HandshakeContext(t.Context())
			if err == nil {
				_, err = secure.Read(make([]byte, 1)) // TLS 1.3 tells the client here
			}
			if err == nil || errors.Is(err, io.EOF) {
				t.Errorf("%q without a certificate: %v", protocols, err)
			}
			secure.Close()
		}
	})
}

// What a joiner can cost is bounded: time, bytes, and how many at once.
func TestJoiningIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, ca := sim.NewNetwork(), newAuthority(t)
		welcoming(t, n, ca, func(ctx context.Context, request []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		pin := sha256.Sum256(ca.cert.Raw)
		dial := func() net.Conn {
			conn, err := n.Host("new").Dial(t.Context(), "a:1")
			if err != nil {
				t.Fatal(err)
			}
			secure := tls.Client(conn, &tls.Config{NextProtos: []string{joinProtocol}, InsecureSkipVerify: true})
			if err := secure.HandshakeContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			return secure
		}
		long := dial()
		defer long.Close()
		// It may be refused by its length, before all of it is written.
		_, _ = long.Write(appendFrame(nil, make([]byte, joinRequest+1)))
		if _, err := long.Read(make([]byte, 1)); err == nil {
			t.Error("a request of more than 16 KiB is taken")
		}
		start := time.Now()
		ended := make(chan error, joining)
		for range joining {
			go func() {
				_, err := Join(t.Context(), n.Host("new"), "a:1", pin, []byte("slow"))
				ended <- err
			}()
		}
		synctest.Wait()
		if _, err := Join(t.Context(), n.Host("new"), "a:1", pin, []byte("fifth")); err == nil || time.Since(start) > time.Second {
			t.Errorf("the fifth at once waits %v: %v", time.Since(start), err)
		}
		for range joining {
			if err := <-ended; err == nil {
				t.Error("joined a port that did not answer")
			}
		}
		if took := time.Since(start); took > 2*joinTimeout {
			t.Errorf("a slow port holds a joiner for %v", took)
		}
	})
}

func TestFrames(t *testing.T) {
	for _, text := range []string{"", "\x00\x00\x00", "\x00\x00\x00\x05abcd", "\xff\xff\xff\xff"} {
		if got, err := readFrame(strings.NewReader(text), 16); err == nil {
			t.Errorf("%q is taken for %q", text, got)
		}
	}
	if got, err := readFrame(bytes.NewReader(appendFrame(nil, []byte("abc"))), 16); err != nil || string(got) != "abc" {
		t.Errorf("%q, %v", got, err)
	}
}
