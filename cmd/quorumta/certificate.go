package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"quorumta/cmd/quorumta/authority"
)

// certificate is a key pair that is read again when its files have changed: a
// renewed certificate needs no restart.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex // guards all below
	pair    *tls.Certificate
	stamp   [2]time.Time
	checked time.Time
}

// recheck is how often the files are looked at.
const recheck = 10 * time.Second

func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	stamp, err := c.stat()
	if err != nil {
		return nil, err
	}
	return c, c.loadLocked(stamp)
}

// get returns the pair as the files have it, or the last good one.
func (c *certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.checked) < recheck {
		return c.pair
	}
	c.checked = now
	stamp, err := c.stat()
	if err == nil && stamp != c.stamp {
		err = c.loadLocked(stamp)
		if err == nil {
			c.log.Info("certificate reloaded", "file", c.certFile, "expires", c.pair.Leaf.NotAfter)
		}
	}
	if err != nil {
		c.log.Error("certificate not reloaded: the old one stays", "file", c.certFile, "error", err)
	}
	return c.pair
}

func (c *certificate) stat() (stamp [2]time.Time, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return stamp, fmt.Errorf("read a certificate: %w", err)
		}
		stamp[i] = info.ModTime()
	}
	return stamp, nil
}

func (c *certificate) loadLocked(stamp [2]time.Time) error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read certificate %s: %w", c.certFile, err)
	}
	c.pair, c.stamp, c.checked = &pair, stamp, time.Now()
	return nil
}

// expires is when the certificate ends.
func (c *certificate) expires() time.Time { return c.get().Leaf.NotAfter }

// server serves the certificate to whoever asks.
func (c *certificate) server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.get(), nil
		},
	}
}

// mutual is for both sides of a connection inside the cluster: each shows a
// certificate of the cluster's CA.
func (c *certificate) mutual(caFile string) (*tls.Config, error) {
	text, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("no certificate in " + caFile)
	}
	config := c.server()
	config.MinVersion = tls.VersionTLS13
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs, config.RootCAs = pool, pool
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return c.get(), nil
	}
	return config, nil
}

// administrators narrows who may come in by the admin port to those whom init
// gave a certificate for it: the administrator, and the members as they are
// now.
func administrators(mutual *tls.Config, members func() map[string]string) *tls.Config {
	config := mutual.Clone()
	config.VerifyConnection = func(s tls.ConnectionState) error {
		name := s.PeerCertificates[0].Subject.CommonName
		if _, member := members()[name]; name != authority.Administrator && !member {
			return fmt.Errorf("%q is neither the administrator nor a member", name)
		}
		return nil
	}
	return config
}
