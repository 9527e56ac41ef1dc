package egress

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// TLS is what a transport shows and accepts in TLS sessions. Files are read for
// every session: who renews them need not tell us.
type TLS struct {
	// Cert and Key are the client certificate; "" for none.
	Cert, Key string
	// CA holds the roots that servers' certificates are verified with, in the
	// place of the system's; "" for those.
	CA string
	// Min is the lowest version; 0 means TLS 1.2.
	Min uint16
	// Ciphers are the suites of TLS 1.2 that may be used; nil means Go's. Those
	// of TLS 1.3 are all good, and cannot be chosen.
	Ciphers []uint16
}

// Apply puts it into the configuration of a session.
func (t *TLS) Apply(cfg *tls.Config) error {
	cfg.MinVersion = max(cfg.MinVersion, t.Min)
	if len(t.Ciphers) > 0 {
		cfg.CipherSuites = t.Ciphers
	}
	if t.Cert != "" {
		cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return fmt.Errorf("read the client certificate: %w", err)
		}
		// Whatever authorities the server names: it is the operator who chose.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
	}
	if t.CA == "" {
		return nil
	}
	text, err := os.ReadFile(t.CA)
	if err != nil {
		return fmt.Errorf("read the roots: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(text) {
		return fmt.Errorf("read the roots: %s has no certificate in PEM", t.CA)
	}
	return nil
}
