package dane

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"quorumta/internal/dns"
)

// Match is the record by which certificates were accepted.
type Match struct {
	Record dns.TLSA
	// Depth is the place of the certificate in the chain that the record
	// matches, 0 for the server's own; -1 for an anchor that only the record
	// holds.
	Depth int
}

// String says it for logs.
func (m Match) String() string {
	if m.Depth < 0 {
		return "TLSA " + label(m.Record) + " is above the chain"
	}
	return fmt.Sprintf("TLSA %s matches at depth %d", label(m.Record), m.Depth)
}

// Verify judges a server's chain, its own certificate first. Records about the
// server's certificate are tried first: they ask for nothing else.
func (p Policy) Verify(chain []*x509.Certificate, now time.Time) (Match, error) {
	if len(chain) == 0 {
		return Match{}, &Error{Result: ResultTLSA, Text: "the server has shown no certificate"}
	}
	// RFC 7672, section 3.1.1: neither names nor dates of the certificate
	// count beside the record, which says both.
	for _, r := range p.Records {
		if r.Usage == usageEE && matches(r, chain[0]) {
			return Match{r, 0}, nil
		}
	}
	var last *Error
	for _, r := range p.Records {
		if r.Usage != usageTA {
			continue
		}
		m, err := p.underAnchor(r, chain, now)
		if err == nil {
			return m, nil
		}
		if last == nil || err.Result != ResultTLSA {
			last = err
		}
	}
	if last == nil {
		last = &Error{Result: ResultTLSA, Text: "no TLSA record of " + p.Base + " matches the server's certificate"}
	}
	return Match{}, last
}

// underAnchor judges a chain by a record about a trust anchor (RFC 7672,
// section 3.1.2): it must lead to the anchor, be in date, and its first
// certificate must be for one of the names.
func (p Policy) underAnchor(r dns.TLSA, chain []*x509.Certificate, now time.Time) (Match, *Error) {
	m, anchors, key := anchor(r, chain)
	switch {
	case len(anchors) > 0:
		if err := lead(chain, anchors, now); err != nil {
			return Match{}, err
		}
	case key != nil:
		if err := leadToKey(chain, key, now); err != nil {
			return Match{}, err
		}
	default:
		return Match{}, &Error{Result: ResultTLSA, Text: "no TLSA record of " + p.Base + " matches the server's certificates"}
	}
	for _, name := range p.Names {
		if named(chain[0], name) {
			return m, nil
		}
	}
	return Match{}, &Error{
		Result: ResultName,
		Text:   "the certificate under the TLSA record's anchor is not for " + strings.Join(p.Names, " or "),
	}
}

// anchor finds what the record names: among the certificates above the
// server's own, else in the record itself if that holds it in full (RFC 7671,
// section 5.2.2), as a certificate or as a mere key.
func anchor(r dns.TLSA, chain []*x509.Certificate) (m Match, anchors []*x509.Certificate, key any) {
	m = Match{r, -1}
	for i, c := range chain[1:] {
		if matches(r, c) {
			if m.Depth < 0 {
				m.Depth = i + 1
			}
			anchors = append(anchors, c) // several with the same key
		}
	}
	if len(anchors) > 0 || r.Matching != matchFull {
		return m, anchors, nil
	}
	if r.Selector == selectKey {
		key, _ = x509.ParsePKIXPublicKey(r.Data)
		return m, nil, key
	}
	c, err := x509.ParseCertificate(r.Data)
	if err != nil {
		return m, nil, nil
	}
	return m, []*x509.Certificate{c}, nil
}

// lead checks that the chain leads to one of the anchors.
func lead(chain, anchors []*x509.Certificate, now time.Time) *Error {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range anchors {
		o.Roots.AddCert(c)
	}
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(o)
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &Error{Result: ResultExpired, Text: "a certificate under the TLSA record's anchor is out of date", Err: err}
	}
	return &Error{Result: ResultTrust, Text: "the certificates do not lead to the TLSA record's anchor", Err: err}
}

// leadToKey checks that the chain leads to a certificate that the key has
// signed; it may be the server's own.
func leadToKey(chain []*x509.Certificate, key any, now time.Time) *Error {
	issuer := &x509.Certificate{PublicKey: key}
	var signed []*x509.Certificate
	for _, c := range chain {
		// Package x509 takes SHA-1 here, and nowhere in chains.
		if c.SignatureAlgorithm == x509.SHA1WithRSA || c.SignatureAlgorithm == x509.ECDSAWithSHA1 {
			continue
		}
		if issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
			signed = append(signed, c)
		}
	}
	if len(signed) == 0 {
		return &Error{Result: ResultTLSA, Text: "the key of the TLSA record has signed none of the server's certificates"}
	}
	return lead(chain, signed, now)
}

// named reports whether a certificate is for the name; where it has no DNS
// names at all, its common name stands in (RFC 7672, section 3.2.3).
func named(c *x509.Certificate, name string) bool {
	if len(c.DNSNames) == 0 && c.Subject.CommonName != "" {
		c = &x509.Certificate{DNSNames: []string{c.Subject.CommonName}}
	}
	return c.VerifyHostname(name) == nil
}
