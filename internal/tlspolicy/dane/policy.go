package dane

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"

	"quorumta/internal/dns"
)

// Kind is what is demanded of connections to a host.
type Kind uint8

// The kinds.
const (
	// None: the host has no secure TLSA records, DANE demands nothing.
	None Kind = 0
	// Encrypt: there are secure records and none is usable. TLS is demanded,
	// authentication is not possible (RFC 7672, section 2.2).
	Encrypt Kind = 1
	// Authenticate: TLS is demanded, with certificates that match a record.
	Authenticate Kind = 2
)

// Policy is what DANE demands of connections to a host.
type Policy struct {
	Kind Kind
	// Base is the TLSA base domain, which TLS names to the server (RFC 7672,
	// section 8.1).
	Base string
	// Names are those of which a certificate under a trust anchor must have
	// one; Base is the first.
	Names []string
	// Records are the usable ones, without those that agility leaves out.
	Records []dns.TLSA
	// Reason says in words what was found.
	Reason string
}

// New makes a policy of secure records at a TLSA base domain; names are other
// names that the server's certificate may have.
func New(base string, port uint16, records []dns.TLSA, names ...string) Policy {
	p := Policy{Kind: Authenticate, Base: base, Names: []string{base}}
	for _, name := range names {
		if name != "" && !slices.Contains(p.Names, name) {
			p.Names = append(p.Names, name)
		}
	}
	var texts []string
	for _, record := range records {
		text := label(record)
		if why := unusable(record); why != "" {
			text += " (unusable: " + why + ")"
		} else {
			p.Records = append(p.Records, record)
		}
		texts = append(texts, text)
	}
	p.Records = agile(p.Records)
	if len(p.Records) == 0 {
		p.Kind = Encrypt
	}
	p.Reason = fmt.Sprintf("secure TLSA records at _%d._tcp.%s: %s", port, base, strings.Join(texts, ", "))
	return p
}

// Config returns the base configuration with what the policy demands of a
// handshake; it is not for None, which demands nothing. The handshake's error
// wraps an *Error where the certificates do not match.
func (p Policy) Config(base *tls.Config, now func() time.Time) *tls.Config {
	cfg := base.Clone()
	if cfg == nil {
		cfg = &tls.Config{}
	}
	cfg.ServerName = p.Base
	cfg.InsecureSkipVerify = true // VerifyConnection does, also for sessions that are resumed
	cfg.VerifyPeerCertificate = nil
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if p.Kind != Authenticate {
			return nil
		}
		_, err := p.Verify(state.PeerCertificates, now())
		return err
	}
	return cfg
}

// Error is why mail may not be given to a host now.
type Error struct {
	// Result is the result type of a TLS report (RFC 8460, section 4.3).
	Result string
	Text   string
	Err    error // may be nil
}

// The result types that this package comes to (RFC 8460, section 4.3).
const (
	ResultDNSSEC  = "dnssec-invalid"
	ResultTLSA    = "tlsa-invalid"
	ResultName    = "certificate-host-mismatch"
	ResultExpired = "certificate-expired"
	ResultTrust   = "certificate-not-trusted"
)

// Error implements error.
func (e *Error) Error() string {
	if e.Err != nil {
		return "DANE: " + e.Text + ": " + e.Err.Error()
	}
	return "DANE: " + e.Text
}

// Unwrap returns what was the cause.
func (e *Error) Unwrap() error { return e.Err }
