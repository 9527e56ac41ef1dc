package wire

import (
	"bytes"
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
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"go.opentelemetry.io/otel/metric/noop"

	"quorumta/internal/sim"
)

// authority signs certificates for one cluster.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, key, cert}
}

func (a *authority) config(name string) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs:      pool, ClientCAs: pool,
	}
}

var errLate = errors.New("late")

// open runs a port until the test ends.
func open(t *testing.T, n *sim.Network, name, cluster string, config *tls.Config) *Port {
	t.Helper()
	p, err := New(Options{
		Self:    name + "/i",
		Cluster: cluster,
		Listen:  name + ":1",
		Members: map[string]string{"a": "a:1", "b": "b:1"},
		TLS:     config,
		Errors:  map[string]error{"late": errLate},
		Network: n.Host(name),
		Log:     slog.New(slog.DiscardHandler),
		Meter:   noop.NewMeterProvider().Meter(""),
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Handle("echo", func(_ context.Context, from string, request []byte) ([]byte, error) {
		if len(request) == 0 {
			return nil, errors.New("nothing to echo")
		}
		if string(request) == "late" {
			return nil, fmt.Errorf("echo: %w", errLate)
		}
		return append([]byte(from+":"), request...), nil
	})
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
	return p
}

// pairs runs f with two ports, without TLS and with it.
func pairs(t *testing.T, f func(t *testing.T, n *sim.Network, a, b *Port)) {
	for _, kind := range []string{"plain", "tls"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ca, cb *tls.Config
				if kind == "tls" {
					ca0 := newAuthority(t)
					ca, cb = ca0.config("a"), ca0.config("b")
				}
				n := sim.NewNetwork()
				f(t, n, open(t, n, "a", "c", ca), open(t, n, "b", "c", cb))
			})
		})
	}
}

func TestCalls(t *testing.T) {
	pairs(t, func(t *testing.T, n *sim.Network, a, b *Port) {
		for _, to := range []string{"a", "b"} {
			got, err := a.Call(t.Context(), to, "echo", []byte("x"))
			if err != nil || string(got) != "a:x" {
				t.Errorf("call to %s: %q, %v", to, got, err)
			}
			var said *CallError
			if _, err := a.Call(t.Context(), to, "echo", nil); !errors.As(err, &said) || said.Text != "nothing to echo" {
				t.Errorf("call to %s that fails: %v", to, err)
			}
			if _, err := a.Call(t.Context(), to, "echo", []byte("late")); !errors.As(err, &said) || !errors.Is(err, errLate) {
				t.Errorf("call to %s that is late: %v", to, err)
			}
			if _, err := a.Call(t.Context(), to, "none", nil); !errors.Is(err, ErrUnreachable) || !errors.Is(err, ErrNoMethod) {
				t.Errorf("call of no method on %s: %v", to, err)
			}
		}
		big := bytes.Repeat([]byte("x"), 1<<20)
		if got, err := a.Call(t.Context(), "b", "echo", big); err != nil || len(got) != len(big)+2 {
			t.Errorf("a call of a megabyte: %d bytes, %v", len(got), err)
		}
		n.Cut("a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Call(ctx, "b", "echo", []byte("x")); !errors.Is(err, ErrUnreachable) {
			t.Errorf("call over a cut link: %v", err)
		}
		n.Heal()
		time.Sleep(10 * time.Second) // until the pings have found out
		if _, err := a.Call(t.Context(), "b", "echo", []byte("x")); err != nil {
			t.Errorf("call over the healed link: %v", err)
		}
	})
}

func TestLayersCarryRaft(t *testing.T) {
	pairs(t, func(t *testing.T, n *sim.Network, a, b *Port) {
		lost := make(chan string, 1)
		near := a.Open(7, func(string) {})
		far := b.Open(7, func(peer string) { lost <- peer })
		defer near.Close()
		defer far.Close()
		conn, err := near.Dial("b/i", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		taken, err := far.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("hi")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 2)
		if _, err := io.ReadFull(taken, got); err != nil || string(got) != "hi" {
			t.Fatalf("%q, %v", got, err)
		}
		for address, want := range map[raft.ServerAddress]verdict{"b/old": foreignNode} {
			if _, err := near.Dial(address, time.Second); err == nil || !strings.Contains(err.Error(), want.String()) {
				t.Errorf("dial %s: %v", address, err)
			}
		}
		if _, err := a.Open(8, func(string) {}).Dial("b/i", time.Second); err == nil || !strings.Contains(err.Error(), shardClosed.String()) {
			t.Errorf("dial for a shard that is not open: %v", err)
		}
		_ = near.Close()
		if _, err := taken.Read(got); err == nil {
			t.Error("the connection outlives the layer that dialed it")
		}
		if peer := <-lost; peer != "a/i" {
			t.Errorf("lost %q", peer)
		}
		if _, err := near.Accept(); err == nil {
			t.Error("a closed layer accepts")
		}
		// The same shard can be opened again.
		again := a.Open(7, func(string) {})
		defer again.Close()
		if _, err := again.Dial("b/i", time.Second); err != nil {
			t.Error(err)
		}
		// The replicas reach each other beside Raft.
		var said *CallError
		if _, err := again.Call(t.Context(), "b/i", []byte("x")); !errors.As(err, &said) {
			t.Errorf("where nobody serves: %v", err)
		}
		far.Serve(func(_ context.Context, from string, request []byte) ([]byte, error) {
			return append([]byte(from+":"), request...), nil
		})
		if got, err := again.Call(t.Context(), "b/i", []byte("x")); err != nil || string(got) != "a/i:x" {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := again.Call(t.Context(), "b/old", []byte("x")); !errors.As(err, &said) {
			t.Errorf("another incarnation answers: %v", err)
		}
		_ = far.Close()
		if _, err := again.Call(t.Context(), "b/i", []byte("x")); !errors.As(err, &said) {
			t.Errorf("a closed layer answers: %v", err)
		}
	})
}

func TestForeignersAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sim.NewNetwork()
		ours, theirs := newAuthority(t), newAuthority(t)
		b := open(t, n, "b", "c", ours.config("b"))
		defer b.Open(1, func(string) {}).Close()
		for why, p := range map[string]*Port{
			"another CA":           open(t, n, "a", "c", theirs.config("a")),
			"no member":            open(t, n, "x", "c", ours.config("x")),
			"another's name":       open(t, n, "y", "c", ours.config("b")),
			"another cluster's id": open(t, n, "z", "other", ours.config("a")),
		} {
			if p.o.Self == "y/i" {
				p.o.Self = "a/i" // says a, and its certificate says b
			}
			layer := p.Open(1, func(string) {})
			if _, err := layer.Dial("b/i", time.Second); err == nil {
				t.Errorf("%s: Raft is let in", why)
			}
			layer.Close()
			if _, err := p.Call(t.Context(), "b", "echo", []byte("x")); err == nil && why != "another's name" {
				t.Errorf("%s: a call is let in", why)
			}
		}
	})
}

func TestFramesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sim.NewNetwork()
		a, b := open(t, n, "a", "c", nil), open(t, n, "b", "c", nil)
		near, far := a.Open(1, func(string) {}), b.Open(1, func(string) {})
		defer near.Close()
		defer far.Close()
		for first, want := range map[byte]error{0: errFrame, installSnapshot: nil} {
			conn, err := near.Dial("b/i", time.Second)
			if err != nil {
				t.Fatal(err)
			}
			taken, err := far.Accept()
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Write([]byte{first})
				for range 20 {
					if _, err := conn.Write(make([]byte, 1<<20)); err != nil {
						return
					}
				}
			}()
			if _, err = io.Copy(io.Discard, taken); !errors.Is(err, want) {
				t.Errorf("a request of 20 MiB that begins with %d: %v", first, err)
			}
			taken.Close()
		}
	})
}

func TestBadHellos(t *testing.T) {
	for _, text := range []string{"", "\x02\x00\x02{}", "\x01\xff\xff{}", "\x01\x00\x02{", "\x01\x00\x02}}"} {
		if h, err := readHello(strings.NewReader(text)); err == nil {
			t.Errorf("%q is taken for %+v", text, h)
		}
	}
	var b bytes.Buffer
	want := hello{Cluster: "c", Shard: 9, From: "a/1", To: "b/2"}
	if err := writeHello(&b, want); err != nil {
		t.Fatal(err)
	}
	if got, err := readHello(&b); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sim.NewNetwork()
		a := open(t, n, "a", "c", nil)
		if err := a.Probe(t.Context(), "b"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("where nobody listens: %v", err)
		}
		open(t, n, "b", "c", nil)
		if err := a.Probe(t.Context(), "b"); err != nil {
			t.Errorf("where somebody does: %v", err)
		}
	})
}

var _ net.Listener = (*Layer)(nil)
