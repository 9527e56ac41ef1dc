package dane

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"fmt"

	"quorumta/internal/dns"
)

// Certificate usages (RFC 6698, section 2.1.1; names of RFC 7218).
const (
	usageTA = 2 // DANE-TA: a trust anchor of the domain's own
	usageEE = 3 // DANE-EE: the server's certificate itself
)

// Selectors (RFC 6698, section 2.1.2).
const (
	selectCertificate = 0
	selectKey         = 1
)

// Matching types (RFC 6698, section 2.1.3).
const (
	matchFull   = 0
	matchSHA256 = 1
	matchSHA512 = 2
)

// label is a record as operators know it: its three numbers and the beginning
// of its data.
func label(r dns.TLSA) string {
	return fmt.Sprintf("%d %d %d %x…", r.Usage, r.Selector, r.Matching, r.Data[:min(len(r.Data), 4)])
}

// unusable says why a record cannot be used, "" if it can. PKIX-TA and PKIX-EE
// are not for SMTP, where there is no set of authorities that all agree on
// (RFC 7672, section 3.1.3).
func unusable(r dns.TLSA) string {
	if r.Usage != usageTA && r.Usage != usageEE {
		return "its usage is not for SMTP"
	}
	if r.Selector != selectCertificate && r.Selector != selectKey {
		return "its selector is unknown"
	}
	switch r.Matching {
	case matchSHA256, matchSHA512:
		if len(r.Data) != digestSize(r.Matching) {
			return "its digest is cut off or too long"
		}
	case matchFull:
		if err := parse(r); err != nil {
			return "its data is no certificate or key"
		}
	default:
		return "its matching type is unknown"
	}
	return ""
}

func digestSize(matching uint8) int {
	if matching == matchSHA512 {
		return sha512.Size
	}
	return sha256.Size
}

// parse checks data that is a certificate or a key itself.
func parse(r dns.TLSA) error {
	if r.Selector == selectKey {
		_, err := x509.ParsePKIXPublicKey(r.Data)
		return err
	}
	_, err := x509.ParseCertificate(r.Data)
	return err
}

// agile leaves out digests beside which there are stronger ones of the same
// usage and selector: a domain that publishes both means the stronger one for
// those who know it (RFC 7671, section 9). Full data is never left out.
func agile(records []dns.TLSA) []dns.TLSA {
	type kind struct{ usage, selector uint8 }
	strongest := map[kind]uint8{}
	for _, r := range records {
		k := kind{r.Usage, r.Selector}
		strongest[k] = max(strongest[k], r.Matching) // SHA-512 has the higher number
	}
	var out []dns.TLSA
	for _, r := range records {
		if r.Matching == matchFull || r.Matching == strongest[kind{r.Usage, r.Selector}] {
			out = append(out, r)
		}
	}
	return out
}

// matches compares a record with a certificate.
func matches(r dns.TLSA, c *x509.Certificate) bool {
	data := c.Raw
	if r.Selector == selectKey {
		data = c.RawSubjectPublicKeyInfo
	}
	switch r.Matching {
	case matchSHA256:
		sum := sha256.Sum256(data)
		data = sum[:]
	case matchSHA512:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return bytes.Equal(r.Data, data)
}
