package cluster_test

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
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"quorumta/cluster"
)

// certificates are one CA's, for each of the names.
func certificates(t *testing.T, names []string) map[string]*tls.Config {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	from, to := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	must(err)
	signer, err := x509.ParseCertificate(der)
	must(err)
	pool := x509.NewCertPool()
	pool.AddCert(signer)
	configs := map[string]*tls.Config{}
	for _, name := range names {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: to,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, signer, &key.PublicKey, caKey)
		must(err)
		configs[name] = &tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: pool, ClientCAs: pool,
		}
	}
	return configs
}

// real runs nodes on loopback, with TLS, on this machine's disk.
func real(t testing.TB, tlsOf map[string]*tls.Config, names []string) map[string]*cluster.Node {
	t.Helper()
	members, incarnations := map[string]string{}, map[string]string{}
	var reserved []net.Listener // together: a port that is free again may be drawn again
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		reserved = append(reserved, l)
		members[name], incarnations[name] = l.Addr().String(), "i"
	}
	for _, l := range reserved {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	nodes := map[string]*cluster.Node{}
	for _, name := range names {
		node, err := cluster.Open(cluster.Options{
			Name: name, Listen: members[name], Members: members, Incarnations: incarnations, ClusterID: "c",
			Dir: t.TempDir(), TLS: tlsOf[name], Fatal: func(err error) { t.Error(err) },
			Log: testLog(t, name),
		})
		if err != nil {
			t.Fatal(err)
		}
		node.Host(func(cluster.ShardID) cluster.Machine { return &register{} })
		node.Handle("echo", func(_ context.Context, from string, request []byte) ([]byte, error) {
			return append([]byte(from+":"), request...), nil
		})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- node.Run(ctx) }()
		t.Cleanup(func() {
			cancel()
			if err := errors.Join(<-ended, node.Close()); err != nil {
				t.Error(err)
			}
		})
		nodes[name] = node
	}
	return nodes
}

// lead waits for who leads the shard and returns it with its term.
func lead(t testing.TB, nodes map[string]*cluster.Node, shard cluster.ShardID) (*cluster.Node, uint64) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, node := range nodes {
			if term, ok := node.Term(shard); ok {
				return node, term
			}
		}
	}
	t.Fatalf("shard %d has no leader", shard)
	return nil, 0
}

// The same over TCP and TLS, with real time and a real disk.
func TestRealNetwork(t *testing.T) {
	names := []string{"n1", "n2", "n3"}
	nodes := real(t, certificates(t, names), names)
	node, term := lead(t, nodes, 1)
	if _, err := node.Propose(t.Context(), 1, term, []byte("a=1")); err != nil {
		t.Fatal(err)
	}
	if got, err := nodes["n1"].Call(t.Context(), "n3", "echo", []byte("x")); err != nil || !bytes.Equal(got, []byte("n1:x")) {
		t.Errorf("call: %q, %v", got, err)
	}
	digests, err := nodes["n2"].Digest(t.Context(), true)
	if err != nil || digests[0].Differs() || len(digests[0].Replicas) != 3 {
		t.Errorf("digest: %+v, %v", digests, err)
	}
}

// BenchmarkPropose proposes entries of 10 KB on one shard of three nodes from
// many sessions at once.
func BenchmarkPropose(b *testing.B) {
	names := []string{"n1", "n2", "n3"}
	nodes := real(b, nil, names)
	node, term := lead(b, nodes, 1)
	entry := append([]byte("a="), bytes.Repeat([]byte("x"), 10<<10)...)
	b.SetBytes(int64(len(entry)))
	for b.Loop() {
		var sessions sync.WaitGroup
		for range 64 {
			sessions.Go(func() {
				if _, err := node.Propose(context.Background(), 1, term, entry); err != nil {
					b.Error(fmt.Errorf("propose: %w", err))
				}
			})
		}
		sessions.Wait()
	}
}
