package admin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"testing"
	"time"

	"quorumta/internal/admin/api"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	pair := a.issue("ca", nil)
	a.cert, a.key = pair.Leaf, pair.PrivateKey.(*ecdsa.PrivateKey)
	a.pool.AddCert(a.cert)
	return a
}

// issue makes a certificate; the first is the authority's own.
func (a *authority) issue(name string, ip net.IP) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: a.cert == nil, BasicConstraintsValid: true, IPAddresses: []net.IP{ip},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := c, key
	if a.cert == nil {
		c.IPAddresses, c.KeyUsage = nil, x509.KeyUsageCertSign
	} else {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// Over TCP a certificate of the cluster's CA opens the door, and its name goes
// on record.
func TestMutualTLS(t *testing.T) {
	h := open(t)
	ours, theirs := newAuthority(t), newAuthority(t)
	local := net.IPv4(127, 0, 0, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	s := &Server{node: h.node, queue: h.queue}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Serve(ctx, Options{Listen: address, Log: slog.New(slog.DiscardHandler), TLS: &tls.Config{
			Certificates: []tls.Certificate{ours.issue("n1", local)}, ClientCAs: ours.pool,
			ClientAuth: tls.RequireAndVerifyClientCert,
		}})
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	dial := func(pair ...tls.Certificate) *api.Client {
		c := api.DialTLS(address, &tls.Config{RootCAs: ours.pool, Certificates: pair})
		t.Cleanup(c.Close)
		return c
	}
	admitted := dial(ours.issue("operator", local))
	wait(t, func() bool { _, err := admitted.Count(t.Context()); return err == nil })
	for name, c := range map[string]*api.Client{"no certificate": dial(), "another CA's": dial(theirs.issue("operator", local))} {
		if _, err := c.Count(t.Context()); err == nil {
			t.Errorf("%s: admitted", name)
		}
	}
	id := h.submit(t, "to.example")
	if _, err := admitted.Act(t.Context(), api.ActRequest{Act: api.ActHold, ID: id, By: "anna"}); err != nil {
		t.Fatal(err)
	}
	show, err := admitted.Show(t.Context(), api.ShowRequest{ID: id})
	if err != nil || show.Message.HeldBy != "anna (certificate operator)" {
		t.Fatalf("%+v, %v", show, err)
	}
}
