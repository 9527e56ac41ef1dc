package dane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"quorumta/internal/dns"
)

// issued is a certificate with its key.
type issued struct {
	cert *x509.Certificate
	key  crypto.Signer
}

var day = time.Now()

// issue makes a certificate that is valid for a month around day; change may
// make it worse. Without an issuer it signs itself.
func issue(t *testing.T, by *issued, name string, change func(*x509.Certificate)) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test of " + name},
		NotBefore: day.AddDate(0, 0, -15), NotAfter: day.AddDate(0, 0, 15),
		BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if strings.Contains(name, ".") {
		template.DNSNames = []string{name}
	} else {
		template.IsCA, template.KeyUsage, template.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
	}
	if change != nil {
		change(template)
	}
	parent, signer := template, crypto.Signer(key)
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key}
}

// tlsa is a record about a certificate.
func tlsa(usage, selector, matching uint8, c *issued) dns.TLSA {
	data := c.cert.Raw
	if selector == selectKey {
		data = c.cert.RawSubjectPublicKeyInfo
	}
	switch matching {
	case matchSHA256:
		sum := sha256.Sum256(data)
		data = sum[:]
	case matchSHA512:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return dns.TLSA{Usage: usage, Selector: selector, Matching: matching, Data: data}
}

// verdict is what a policy makes of a chain: "depth N", or the result type of
// its refusal.
func verdict(p Policy, chain ...*issued) string {
	var certs []*x509.Certificate
	for _, c := range chain {
		certs = append(certs, c.cert)
	}
	m, err := p.Verify(certs, day)
	var e *Error
	if errors.As(err, &e) {
		return e.Result
	}
	return fmt.Sprint("depth ", m.Depth)
}

func TestVerify(t *testing.T) {
	root := issue(t, nil, "root", nil)
	middle := issue(t, root, "middle", nil)
	leaf := issue(t, middle, "mx.example", nil)
	other := issue(t, nil, "mx.example", nil)
	otherRoot := issue(t, nil, "other", nil)
	late := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = day.AddDate(-1, 0, 0), day.AddDate(0, 0, -1) }
	expired := issue(t, middle, "mx.example", late)
	foreign := issue(t, middle, "else.example", nil)
	wild := issue(t, middle, "*.example", nil)
	deep := issue(t, middle, "*.mx.example", nil)
	domain := issue(t, middle, "corp.example", nil)
	common := issue(t, middle, "mx.example", func(c *x509.Certificate) { c.DNSNames, c.Subject.CommonName = nil, "mx.example" })
	hidden := issue(t, middle, "else.example", func(c *x509.Certificate) { c.Subject.CommonName = "mx.example" })
	client := issue(t, middle, "mx.example", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	fake := issue(t, leaf, "mx.example", nil) // signed by who is no authority
	worse := issue(t, nil, "else.example", late)
	ee := func(c *issued) []dns.TLSA { return []dns.TLSA{tlsa(3, 1, 1, c)} }
	ta := func(c *issued) []dns.TLSA { return []dns.TLSA{tlsa(2, 0, 1, c)} }
	for _, test := range []struct {
		name    string
		records []dns.TLSA
		chain   []*issued
		want    string
	}{
		{"EE key", ee(leaf), []*issued{leaf, middle}, "depth 0"},
		{"EE certificate", []dns.TLSA{tlsa(3, 0, 2, leaf)}, []*issued{leaf}, "depth 0"},
		{"EE in full", []dns.TLSA{tlsa(3, 0, 0, leaf)}, []*issued{leaf}, "depth 0"},
		{"EE key in full", []dns.TLSA{tlsa(3, 1, 0, leaf)}, []*issued{leaf}, "depth 0"},
		{"EE: neither name nor date", ee(worse), []*issued{worse}, "depth 0"},
		{"EE: another key", ee(other), []*issued{leaf, middle}, ResultTLSA},
		{"EE is not for what stands above", ee(middle), []*issued{leaf, middle, root}, ResultTLSA},
		{"EE: one of several", append(ee(other), ee(leaf)...), []*issued{leaf}, "depth 0"},
		{"TA of the middle", ta(middle), []*issued{leaf, middle}, "depth 1"},
		{"TA of the root", ta(root), []*issued{leaf, middle, root}, "depth 2"},
		{"TA by its key", []dns.TLSA{tlsa(2, 1, 2, root)}, []*issued{leaf, middle, root}, "depth 2"},
		{"TA that is not shown", ta(root), []*issued{leaf, middle}, ResultTLSA},
		{"TA in full that is not shown", []dns.TLSA{tlsa(2, 0, 0, root)}, []*issued{leaf, middle}, "depth -1"},
		{"TA key in full", []dns.TLSA{tlsa(2, 1, 0, root)}, []*issued{leaf, middle}, "depth -1"},
		{"TA key in full of the issuer", []dns.TLSA{tlsa(2, 1, 0, middle)}, []*issued{leaf}, "depth -1"},
		{"TA key in full of another", []dns.TLSA{tlsa(2, 1, 0, otherRoot)}, []*issued{leaf, middle}, ResultTLSA},
		{"TA key in full, expired", []dns.TLSA{tlsa(2, 1, 0, middle)}, []*issued{expired}, ResultExpired},
		{"TA in full of another", []dns.TLSA{tlsa(2, 0, 0, otherRoot)}, []*issued{leaf, middle}, ResultTrust},
		{"TA beside the chain", ta(otherRoot), []*issued{leaf, otherRoot}, ResultTrust},
		{"TA: what lies between is missing", ta(root), []*issued{leaf, root}, ResultTrust},
		{"TA: expired", ta(middle), []*issued{expired, middle}, ResultExpired},
		{"TA: another name", ta(middle), []*issued{foreign, middle}, ResultName},
		{"TA: wildcard", ta(middle), []*issued{wild, middle}, "depth 1"},
		{"TA: wildcard for what is below", ta(middle), []*issued{deep, middle}, ResultName},
		{"TA: the next hop's name", ta(middle), []*issued{domain, middle}, "depth 1"},
		{"TA: common name", ta(middle), []*issued{common, middle}, "depth 1"},
		{"TA: common name beside DNS names", ta(middle), []*issued{hidden, middle}, ResultName},
		{"TA: for clients only", ta(middle), []*issued{client, middle}, ResultTrust},
		{"TA: a server as authority", ta(leaf), []*issued{fake, leaf, middle}, ResultTrust},
		{"TA is not for the server's own", ta(leaf), []*issued{leaf, middle}, ResultTLSA},
		{"TA or EE", append(ta(otherRoot), ee(leaf)...), []*issued{leaf}, "depth 0"},
		{"no certificate", ee(leaf), nil, ResultTLSA},
	} {
		p := New("mx.example", 25, test.records, "corp.example")
		if got := verdict(p, test.chain...); got != test.want || p.Kind != Authenticate {
			t.Errorf("%s: got %s, want %s (%s)", test.name, got, test.want, p.Reason)
		}
	}
}

// Records that cannot be used leave TLS without authentication; one that can
// be used decides.
func TestUnusable(t *testing.T) {
	leaf := issue(t, nil, "mx.example", nil)
	good := tlsa(3, 1, 1, leaf)
	with := func(change func(*dns.TLSA)) dns.TLSA {
		r := good
		change(&r)
		return r
	}
	bad := []dns.TLSA{
		with(func(r *dns.TLSA) { r.Usage = 0 }),
		with(func(r *dns.TLSA) { r.Usage = 1 }),
		with(func(r *dns.TLSA) { r.Usage = 4 }),
		with(func(r *dns.TLSA) { r.Selector = 2 }),
		with(func(r *dns.TLSA) { r.Matching = 3 }),
		with(func(r *dns.TLSA) { r.Matching = 2 }),
		with(func(r *dns.TLSA) { r.Matching = 0 }),
		with(func(r *dns.TLSA) { r.Matching, r.Selector = 0, 0 }),
		with(func(r *dns.TLSA) { r.Data = r.Data[:31] }),
		with(func(r *dns.TLSA) { r.Data = nil }),
	}
	for _, r := range bad {
		if p := New("mx.example", 25, []dns.TLSA{r}); p.Kind != Encrypt || !strings.Contains(p.Reason, "unusable: its ") {
			t.Errorf("%s: kind %d, %s", label(r), p.Kind, p.Reason)
		}
	}
	if p := New("mx.example", 25, append(bad, good)); p.Kind != Authenticate || len(p.Records) != 1 {
		t.Errorf("kind %d, %d records", p.Kind, len(p.Records))
	}
}

// The stronger digest of a usage and selector counts alone.
func TestAgility(t *testing.T) {
	leaf, other := issue(t, nil, "mx.example", nil), issue(t, nil, "mx.example", nil)
	for _, test := range []struct {
		name    string
		records []dns.TLSA
		want    string
	}{
		{"weaker matches", []dns.TLSA{tlsa(3, 1, 1, leaf), tlsa(3, 1, 2, other)}, ResultTLSA},
		{"stronger matches", []dns.TLSA{tlsa(3, 1, 1, other), tlsa(3, 1, 2, leaf)}, "depth 0"},
		{"another selector", []dns.TLSA{tlsa(3, 1, 1, leaf), tlsa(3, 0, 2, other)}, "depth 0"},
		{"another usage", []dns.TLSA{tlsa(3, 1, 1, leaf), tlsa(2, 1, 2, other)}, "depth 0"},
		{"full data", []dns.TLSA{tlsa(3, 1, 0, leaf), tlsa(3, 1, 2, other)}, "depth 0"},
		{"an unusable one hides nothing", []dns.TLSA{tlsa(3, 1, 1, leaf), {Usage: 3, Selector: 1, Matching: 2, Data: []byte("short")}}, "depth 0"},
	} {
		if got := verdict(New("mx.example", 25, test.records), leaf); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

// The configuration holds in handshakes, also when a session is resumed under
// another policy.
func TestConfig(t *testing.T) {
	leaf, other := issue(t, nil, "mx.example", nil), issue(t, nil, "mx.example", nil)
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.cert.Raw}, PrivateKey: leaf.key}}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	clock := func() time.Time { return day }
	base := &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(4), Time: clock}
	shake := func(p Policy) (sni string, resumed bool, err error) {
		done := make(chan string)
		go func() {
			there, err := listener.Accept()
			if err != nil {
				done <- err.Error()
				return
			}
			defer there.Close()
			c := tls.Server(there, server)
			_ = c.Handshake()
			// The session's ticket is on its way to a client that reads.
			_, _ = c.Write([]byte("x"))
			done <- c.ConnectionState().ServerName
		}()
		here, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer here.Close()
		c := tls.Client(here, p.Config(base, clock))
		if err = c.Handshake(); err == nil {
			_, _ = c.Read(make([]byte, 1))
		}
		return <-done, c.ConnectionState().DidResume, err
	}
	good, bad := New("mx.example", 25, []dns.TLSA{tlsa(3, 1, 1, leaf)}), New("mx.example", 25, []dns.TLSA{tlsa(3, 1, 1, other)})
	if sni, _, err := shake(good); err != nil || sni != "mx.example" {
		t.Errorf("SNI %q, %v", sni, err)
	}
	if _, resumed, err := shake(good); err != nil || !resumed {
		t.Errorf("resumed %t, %v: the next case would test nothing", resumed, err)
	}
	var e *Error
	if _, _, err := shake(bad); !errors.As(err, &e) || e.Result != ResultTLSA {
		t.Errorf("got %v, want %s", err, ResultTLSA)
	}
	bad.Records[0].Data = nil
	if _, _, err := shake(New("mx.example", 25, bad.Records)); err != nil {
		t.Errorf("unusable records: %v", err)
	}
}
