// Package authority is the cluster's certificate authority: it signs the
// certificates by which nodes and administrators know each other.
package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// How long certificates live. The CA outlives what it signs; a node's expiry
// is a metric and a warning 30 days ahead.
const (
	authorityLife   = 20 * 365 * 24 * time.Hour
	certificateLife = 5 * 365 * 24 * time.Hour
)

// Administrator is the name in the certificate that opens the admin port. No
// node may have it.
const Administrator = "admin"

// Authority can sign.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// New draws a new authority, valid from an hour before now.
func New(now time.Time) (*Authority, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "quorumta cluster CA"},
		NotBefore:             now.Add(-time.Hour), // the other nodes' clocks may be behind
		NotAfter:              now.Add(authorityLife),
		IsCA:                  true,
		MaxPathLenZero:        true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign the CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the CA: %w", err)
	}
	return &Authority{cert: cert, key: key}, nil
}

// Load reads the authority's certificate and key.
func Load(certFile, keyFile string) (*Authority, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's CA and its key: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s is not the certificate of a CA", certFile)
	}
	return &Authority{cert: pair.Leaf, key: key}, nil
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte { return encode("CERTIFICATE", a.cert.Raw) }

// Fingerprint is the SHA-256 of the authority's certificate.
func (a *Authority) Fingerprint() [32]byte { return sha256.Sum256(a.cert.Raw) }

// ReadCertificate is the first certificate in a PEM file, DER.
func ReadCertificate(certFile string) ([]byte, error) {
	text, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no certificate", certFile)
	}
	return block.Bytes, nil
}

// Sign makes a certificate, in PEM, of the public key: as server and as
// client, valid for the hosts (names or addresses).
func (a *Authority) Sign(key crypto.PublicKey, name string, hosts []string, now time.Time) ([]byte, error) {
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"quorumta"}},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, h := range hosts {
		if ip, err := netip.ParseAddr(h); err == nil {
			t.IPAddresses = append(t.IPAddresses, ip.AsSlice())
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign the certificate of %s: %w", name, err)
	}
	return encode("CERTIFICATE", der), nil
}

// Issue draws a key and writes name.pem and name.key into the folder.
func (a *Authority) Issue(dir, name string, hosts []string, now time.Time) error {
	key, err := NewKey()
	if err != nil {
		return err
	}
	cert, err := a.Sign(&key.PublicKey, name, hosts, now)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".pem"), cert, 0o644); err != nil {
		return fmt.Errorf("write the certificate of %s: %w", name, err)
	}
	return WriteKey(filepath.Join(dir, name+".key"), key)
}

// Save writes ca.pem and ca.key into the folder. Whoever has the key can make
// members.
func (a *Authority) Save(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), a.PEM(), 0o644); err != nil {
		return fmt.Errorf("write the CA: %w", err)
	}
	return WriteKey(filepath.Join(dir, "ca.key"), a.key)
}

// NewKey draws a key.
func NewKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("draw a key: %w", err)
	}
	return key, nil
}

// WriteKey writes a private key that its owner alone may read. It overwrites
// nothing.
func WriteKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(encode("PRIVATE KEY", der))
	return errors.Join(err, f.Close())
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// serial is 127 random bits.
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails (crypto/rand since Go 1.24)
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}
