package main_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"quorumta/bench/proc"
	"quorumta/internal/dns/dnstest"
)

// exchanger is a mail host on port 25 that notes for each recipient whether TLS
// was spoken.
type exchanger struct {
	mu  sync.Mutex
	got map[string]bool
}

// NewSession implements gosmtp.Backend.
func (e *exchanger) NewSession(c *gosmtp.Conn) (gosmtp.Session, error) {
	_, secret := c.TLSConnectionState()
	return incoming{e, secret}, nil
}

type incoming struct {
	*exchanger
	secret bool
}

func (incoming) Reset()                                 {}
func (incoming) Logout() error                          { return nil }
func (incoming) Mail(string, *gosmtp.MailOptions) error { return nil }
func (i incoming) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.got[to] = i.secret
	return nil
}

func (incoming) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// listen25 takes mail at an address until the test ends.
func (e *exchanger) listen25(t *testing.T, addr netip.Addr, config *tls.Config) {
	t.Helper()
	listener, err := net.Listen("tcp", netip.AddrPortFrom(addr, 25).String())
	if err != nil {
		t.Fatal(err)
	}
	server := gosmtp.NewServer(e)
	server.Domain, server.TLSConfig = "mx.example", config
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
}

// daneWorld are domains, named after what is right or wrong with them.
func daneWorld(t *testing.T, e *exchanger) *dnstest.Servers {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can listen on port 25, where MX records lead")
	}
	var n [2]byte
	_, _ = rand.Read(n[:])
	secret, clear := netip.AddrFrom4([4]byte{127, 25, n[0], n[1] | 1}), netip.AddrFrom4([4]byte{127, 26, n[0], n[1] | 1})
	cert, digest := daneCertificate(t)
	e.listen25(t, secret, &tls.Config{Certificates: []tls.Certificate{cert}})
	e.listen25(t, clear, nil)
	right, wrong := "TLSA 3 1 1 "+digest, "TLSA 3 1 1 "+strings.Repeat("0", 64)
	unusable := "TLSA 1 1 1 " + digest
	domain := func(name string, addr netip.Addr, tlsa string) string {
		text := fmt.Sprintf("%s MX 10 mx.%[1]s\nmx.%[1]s A %s\n", name, addr)
		if tlsa != "" {
			text += fmt.Sprintf("_25._tcp.mx.%s %s\n", name, tlsa)
		}
		return text
	}
	mail := "@ MX 10 mx\nmx A " + secret.String() + "\n_25._tcp.mx " + wrong + "\n"
	return dnstest.Start(t,
		dnstest.Zone{Name: "good", Records: domain("right", secret, right) + domain("wrong", secret, wrong) +
			domain("clear", clear, right) + domain("forged", secret, "CNAME _25._tcp.mx.expired.example.") +
			domain("unusable", secret, unusable) + domain("unusableclear", clear, unusable) +
			domain("none", clear, "") + domain("away", clear, "CNAME _25._tcp.mx.plain.example.") +
			"alias MX 10 mx.alias\nmx.alias CNAME mx.right\nrotten MX 10 mx.expired.example.\nnull MX 0 .\n"},
		dnstest.Zone{Name: "plain", State: dnstest.Unsigned, Records: mail},
		dnstest.Zone{Name: "expired", State: dnstest.Expired, Records: mail},
		dnstest.Zone{Name: "broken", State: dnstest.Broken, Records: mail},
	)
}

// daneCertificate is a certificate for nobody, out of date, and what a TLSA
// record 3 1 1 says of it.
func daneCertificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(-time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, fmt.Sprintf("%x", sha256.Sum256(spki))
}

// TestDANE has a real node send to domains in real zones: what DANE forbids
// waits, and not a word of it goes out in the clear.
func TestDANE(t *testing.T) {
	e := &exchanger{got: map[string]bool{}}
	servers := daneWorld(t, e)
	c := started(t, proc.Options{Nodes: 1, Edit: func(_ string, config []byte) []byte {
		return append(config, fmt.Sprintf("dns: {servers: [%s]}\n", servers.Resolver.Addr())...)
	}})
	want := map[string]string{
		"right.good.example": "delivered dane", "alias.good.example": "delivered dane", "unusable.good.example": "delivered unverified",
		"none.good.example": "delivered", "away.good.example": "delivered", "plain.example": "delivered unverified",
		"wrong.good.example": "deferred", "clear.good.example": "deferred", "forged.good.example": "deferred",
		"unusableclear.good.example": "deferred", "rotten.good.example": "deferred",
		"expired.example": "deferred", "broken.example": "deferred",
		"null.good.example": "failed",
	}
	secret := map[string]bool{
		"u@right.good.example": true, "u@alias.good.example": true, "u@unusable.good.example": true,
		"u@none.good.example": false, "u@away.good.example": false, "u@plain.example": true,
	}
	for domain := range want {
		if err := submit(c.Nodes[0].SMTP, "", "u@"+domain, "Subject: x\r\n\r\nx\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]string{}
	waitFor(t, "an outcome for each domain", func(ctx context.Context) bool {
		got = outcomes(ctx, t, c)
		return len(got) >= len(want)
	})
	if !maps.Equal(got, want) {
		for _, domain := range slices.Sorted(maps.Keys(want)) {
			if got[domain] != want[domain] {
				t.Errorf("%s: %s, want %s", domain, got[domain], want[domain])
			}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !maps.Equal(e.got, secret) {
		t.Errorf("what came, and whether by TLS: %v, want %v", e.got, secret)
	}
}

// outcomes are the first outcomes of the record, by the recipient's domain, and
// of those that were delivered by TLS how the host was verified.
func outcomes(ctx context.Context, t *testing.T, c *proc.Cluster) map[string]string {
	t.Helper()
	lines, err := c.Events(ctx)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range bytes.Lines(lines) {
		var event struct {
			Event     string
			Recipient string
			TLS       string
		}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatal(err)
		}
		_, domain, _ := strings.Cut(event.Recipient, "@")
		if out[domain] != "" {
			continue
		}
		switch event.Event {
		case "delivered":
			words := strings.Fields(event.TLS) // the last one is how the host was verified
			out[domain] = strings.Join(append([]string{"delivered"}, words[max(len(words)-1, 0):]...), " ")
		case "deferred", "failed":
			out[domain] = event.Event
		}
	}
	return out
}
