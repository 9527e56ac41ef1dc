package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"quorumta/internal/config"
)

// selfSigned writes a certificate for names.
func selfSigned(t *testing.T, dir, file string, names ...string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, file+".pem"), filepath.Join(dir, file+".key")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// A client sees the certificate for the name that it asks for, whatever the
// listener; without one it sees the listener's.
func TestCertificatesByName(t *testing.T) {
	dir := t.TempDir()
	f := &config.File{}
	f.TLS.Cert, f.TLS.Key = selfSigned(t, dir, "mx", "mx.example")
	for _, name := range []string{"partners", "old"} {
		x := config.Certificate{Name: name}
		x.Cert, x.Key = selfSigned(t, dir, name, name+".example", "*."+name+".example")
		f.Certificates = append(f.Certificates, x)
	}
	all, err := (&node{log: slog.New(slog.DiscardHandler)}).newCertificates(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ listener, asked, shown string }{
		{"", "mx.example", "mx.example"},
		{"", "", "mx.example"},
		{"", "unknown.example", "mx.example"},
		{"", "Partners.Example", "partners.example"},
		{"", "a.old.example", "old.example"},
		{"partners", "", "partners.example"},
		{"partners", "a.partners.example", "partners.example"},
		{"partners", "unknown.example", "partners.example"},
		{"partners", "mx.example", "mx.example"},
	} {
		if got := shown(t, all.server(test.listener), test.asked); got != test.shown {
			t.Errorf("listener %q, asked for %q: %s, want %s", test.listener, test.asked, got, test.shown)
		}
	}
	if all.server("unknown") != nil {
		t.Error("a listener shows a certificate that there is not")
	}
}

// shown is the first name in the certificate that a client sees.
func shown(t *testing.T, config *tls.Config, asked string) string {
	t.Helper()
	ours, theirs := net.Pipe()
	defer func() { _, _ = ours.Close(), theirs.Close() }()
	server := tls.Server(ours, config)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	client := tls.Client(theirs, &tls.Config{ServerName: asked, InsecureSkipVerify: true})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return client.ConnectionState().PeerCertificates[0].DNSNames[0]
}
