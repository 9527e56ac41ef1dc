package smtpc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"quorumta/delivery/transport"
)

// sink is a go-smtp server that keeps what it gets.
type sink struct {
	mu  sync.Mutex
	got []letter
}

type letter struct {
	from    string
	options smtp.MailOptions
	to      []string
	content string
}

func (s *sink) NewSession(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }

type sinkSession struct {
	sink *sink
	l    letter
}

func (s *sinkSession) Mail(from string, o *smtp.MailOptions) error {
	s.l.from, s.l.options = from, *o
	return nil
}

func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "no") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "nobody"}
	}
	s.l.to = append(s.l.to, to)
	return nil
}

func (s *sinkSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.l.content = string(b)
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.got = append(s.sink.got, s.l)
	return nil
}

func (s *sinkSession) Reset()        { s.l = letter{} }
func (s *sinkSession) Logout() error { return nil }

func startSink(t *testing.T) (*sink, string, *x509.CertPool) {
	t.Helper()
	cert, pool := certificate(t, "them.example")
	b := &sink{}
	server := smtp.NewServer(b)
	server.Domain = "them.example"
	server.EnableSMTPUTF8, server.EnableDSN = true, true
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return b, l.Addr().String(), pool
}

func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func dial(t *testing.T, addr string) *Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Greet(context.Background(), nc, Options{Hostname: "us.example"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGoSMTP(t *testing.T) {
	b, addr, pool := startSink(t)
	c := dial(t, addr)
	ctx := context.Background()
	if err := c.StartTLS(ctx, &tls.Config{RootCAs: pool, ServerName: "them.example"}); err != nil {
		t.Fatal(err)
	}
	contents := []string{
		"Subject: a\r\n\r\n.\r\n..\r\nend without a line ending",
		"Subject: b\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n.\r\n", 5000),
		"",
	}
	for _, content := range contents {
		m := message(content, "a@them.example", "no@them.example")
		m.EightBit = true
		res, err := c.Send(ctx, m)
		if err != nil || !res.Final.Positive() || res.Rcpts[1].Code != 550 || res.Sent != int64(len(content)) {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	res, err := c.Send(ctx, message("x\r\n", "no@them.example"))
	if err != nil || res.Dot {
		t.Fatalf("%+v, %v", res, err)
	}
	if res, err = c.Send(ctx, message("last\r\n", "a@them.example")); err != nil || !res.Final.Positive() {
		t.Fatalf("%+v, %v", res, err)
	}
	c.Quit(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.got) != 4 {
		t.Fatalf("%d messages arrived", len(b.got))
	}
	for i, content := range contents {
		if content != "" && !strings.HasSuffix(content, "\r\n") {
			content += "\r\n"
		}
		if b.got[i].content != content {
			t.Errorf("message %d arrived as %d bytes, not %d", i, len(b.got[i].content), len(content))
		}
	}
	if b.got[0].options.Body != smtp.Body8BitMIME || b.got[0].from != "me@us.example" {
		t.Errorf("%+v", b.got[0].options)
	}
}

func TestTLSRefused(t *testing.T) {
	_, addr, pool := startSink(t)
	for name, cfg := range map[string]*tls.Config{
		"wrong name":   {RootCAs: pool, ServerName: "other.example"},
		"unknown root": {RootCAs: x509.NewCertPool(), ServerName: "them.example"},
	} {
		err := dial(t, addr).StartTLS(context.Background(), cfg)
		var e *transport.Error
		if !errors.As(err, &e) || e.Phase != transport.PhaseTLS || e.Timeout() {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := mustOpen(t, hello)
	if err := c.StartTLS(context.Background(), &tls.Config{ServerName: "x"}); !errors.Is(err, transport.ErrNoTLS) {
		t.Errorf("not offered: %v", err)
	}
}

// TestInjectedAfterStartTLS: what a third party adds in the clear must not
// count as said in secret.
func TestInjectedAfterStartTLS(t *testing.T) {
	client, server := net.Pipe()
	go func() {
		defer func() { _ = server.Close() }()
		play(t, server, []string{"S: 220 hi", "C: EHLO us.example", "S: 250-x\r\n250 STARTTLS", "C: STARTTLS"})
	}()
	c, err := Greet(context.Background(), &injecting{Conn: client}, Options{Hostname: "us.example"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.StartTLS(context.Background(), &tls.Config{ServerName: "x"}); !errors.Is(err, transport.ErrProtocol) {
		t.Error(err)
	}
}

// injecting answers STARTTLS with more than was asked for.
type injecting struct {
	net.Conn
	asked bool
}

func (i *injecting) Write(p []byte) (int, error) {
	i.asked = i.asked || strings.HasPrefix(string(p), "STARTTLS")
	return i.Conn.Write(p)
}

func (i *injecting) Read(p []byte) (int, error) {
	if i.asked {
		return copy(p, "220 go\r\n250 injected\r\n"), nil
	}
	return i.Conn.Read(p)
}
