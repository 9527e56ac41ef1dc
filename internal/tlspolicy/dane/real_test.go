package dane

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/smtp"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"quorumta/internal/dns"
	"quorumta/internal/dns/dnstest"
)

// exchange is one server that is many hosts: each shows the certificate of its
// name.
type exchange struct {
	port  uint16
	hosts map[string]tls.Certificate
}

// quiet takes no mail: nobody comes that far.
type quiet struct{ gosmtp.Session }

func (quiet) Reset()        {}
func (quiet) Logout() error { return nil }

func newExchange(t *testing.T) *exchange {
	t.Helper()
	e := &exchange{hosts: map[string]tls.Certificate{}}
	server := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) { return quiet{}, nil }))
	server.Domain = "exchange.example"
	server.TLSConfig = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		c, ok := e.hosts[hello.ServerName]
		if !ok {
			c = e.hosts["other"]
		}
		return &c, nil
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.port = netip.MustParseAddrPort(l.Addr().String()).Port()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return e
}

// host has a host show a chain, and returns its TLSA record.
func (e *exchange) shows(host string, chain ...*issued) {
	c := tls.Certificate{PrivateKey: chain[0].key}
	for _, link := range chain {
		c.Certificate = append(c.Certificate, link.cert.Raw)
	}
	e.hosts[host] = c
}

// at writes TLSA records for a host.
func (e *exchange) at(host string, records ...dns.TLSA) string {
	text := ""
	for _, r := range records {
		text += fmt.Sprintf("_%d._tcp.%s TLSA %d %d %d %s\n", e.port, host, r.Usage, r.Selector, r.Matching, hex.EncodeToString(r.Data))
	}
	return text
}

// scene is a world of domains, each named after what is right or wrong with its
// only mail host.
type scene struct {
	*exchange
	zone string
	root *issued
	leaf *issued // of nobody
}

// domain adds NAME.good.example, whose mail host mx.NAME shows a chain.
func (s *scene) domain(name string, chain []*issued, records ...dns.TLSA) {
	s.zone += name + " MX 10 mx." + name + "\n" + "mx." + name + " A 127.0.0.1\n" + s.at("mx."+name, records...)
	s.shows("mx."+name+".good.example", chain...)
}

func (s *scene) cert(t *testing.T, host string, change func(*x509.Certificate)) []*issued {
	return []*issued{issue(t, s.root, host+".good.example", change), s.root}
}

func build(t *testing.T) (*scene, []dnstest.Zone) {
	t.Helper()
	s := &scene{exchange: newExchange(t), root: issue(t, nil, "root", nil)}
	s.leaf = issue(t, nil, "nobody.example", nil)
	s.shows("other", s.leaf)
	late := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = day.AddDate(-1, 0, 0), day.AddDate(0, 0, -1) }
	plain := func(name string, records ...dns.TLSA) []*issued {
		chain := s.cert(t, "mx."+name, nil)
		s.domain(name, chain, records...)
		return chain
	}
	for name, matching := range map[string]uint8{"ee256": matchSHA256, "ee512": matchSHA512, "eefull": matchFull} {
		chain := s.cert(t, "mx."+name, late) // dates do not count
		s.domain(name, chain, tlsa(3, 1, matching, chain[0]))
		chain = s.cert(t, "else", nil) // names neither
		s.domain("c"+name, chain, tlsa(3, 0, matching, chain[0]))
	}
	plain("bad", tlsa(3, 1, 1, s.leaf))
	plain("ta", tlsa(2, 0, 1, s.root))
	plain("takey", tlsa(2, 1, 2, s.root))
	s.domain("tafull", s.cert(t, "mx.tafull", nil)[:1], tlsa(2, 0, 0, s.root))
	s.domain("tafullkey", s.cert(t, "mx.tafullkey", nil)[:1], tlsa(2, 1, 0, s.root))
	s.domain("tahidden", s.cert(t, "mx.tahidden", nil)[:1], tlsa(2, 0, 1, s.root))
	s.domain("talate", s.cert(t, "mx.talate", late), tlsa(2, 0, 1, s.root))
	s.domain("taname", s.cert(t, "else", nil), tlsa(2, 0, 1, s.root))
	s.domain("tadomain", s.cert(t, "tadomain", nil), tlsa(2, 0, 1, s.root))
	s.domain("tawild", s.cert(t, "*.tawild", nil), tlsa(2, 0, 1, s.root))
	s.domain("taself", s.cert(t, "mx.taself", nil)[:1], tlsa(2, 0, 1, s.leaf))
	plain("tawrong", tlsa(2, 0, 1, s.leaf))
	plain("pkix", tlsa(1, 0, 1, s.leaf), tlsa(0, 0, 1, s.leaf))
	plain("short", dns.TLSA{Usage: 3, Selector: 1, Matching: 1, Data: []byte{1, 2}})
	agile := s.cert(t, "mx.agile", nil)
	s.domain("agile", agile, tlsa(3, 1, 1, agile[0]), tlsa(3, 1, 2, s.leaf))
	either := s.cert(t, "mx.either", nil)
	s.domain("either", either, tlsa(2, 0, 1, s.leaf), tlsa(3, 1, 1, either[0]), tlsa(1, 1, 1, s.leaf))
	plain("none")
	// TLSA records that cannot be had, or are not secure.
	plain("forged")
	s.zone += fmt.Sprintf("_%d._tcp.mx.forged CNAME x.expired.example.\n", s.port)
	plain("away")
	s.zone += fmt.Sprintf("_%d._tcp.mx.away CNAME tlsa.plain.example.\n", s.port)
	// Hosts that are aliases: of a host with records, of one without, of one in
	// a zone that is not signed.
	target := plain("target")
	s.zone += s.at("mx.target", tlsa(3, 1, 1, target[0]))
	s.zone += "alias MX 10 mx.alias\nmx.alias CNAME mx.target\n" + s.at("mx.alias", tlsa(3, 1, 1, s.leaf))
	s.zone += "own MX 10 mx.own\nmx.own CNAME mx.none\n" + s.at("mx.own", tlsa(3, 1, 1, s.leaf))
	s.zone += "half MX 10 mx.half\nmx.half CNAME mx.plain.example.\n" + s.at("mx.half", tlsa(3, 1, 1, s.leaf))
	s.zone += "alone A 127.0.0.1\n" + s.at("alone", tlsa(3, 1, 1, s.leaf)) // no MX
	s.zone += "null MX 0 .\n"
	s.zone += "outside MX 10 mx.plain.example.\nrotten MX 10 mx.expired.example.\n"
	mail := "@ MX 10 mx\nmx A 127.0.0.1\n" + s.at("mx", tlsa(3, 1, 1, s.root)) +
		fmt.Sprintf("tlsa TLSA 3 1 1 %064d\ninward MX 10 mx.ta.good.example.\n", 0)
	return s, []dnstest.Zone{
		{Name: "good", Records: s.zone},
		{Name: "plain", State: dnstest.Unsigned, Records: mail},
		{Name: "expired", State: dnstest.Expired, Records: mail},
		{Name: "broken", State: dnstest.Broken, Records: mail},
	}
}

// TestBesidePostfix has real servers say what is secure, and compares what we
// make of a mail host with what Postfix does.
func TestBesidePostfix(t *testing.T) {
	dnstest.Need(t, "posttls-finger", "postfix")
	s, zones := build(t)
	servers := dnstest.Start(t, zones...)
	settings, err := dns.Prepare(dns.Options{Servers: []netip.AddrPort{servers.Resolver}})
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := dns.New(settings, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resolver.Close()
	for _, test := range []struct{ domain, want string }{
		{"ee256.good.example", "verified"},
		{"ee512.good.example", "verified"},
		{"eefull.good.example", "verified"},
		{"cee256.good.example", "verified"},
		{"cee512.good.example", "verified"},
		{"ceefull.good.example", "verified"},
		{"bad.good.example", "refused: tlsa-invalid"},
		{"ta.good.example", "verified"},
		{"takey.good.example", "verified"},
		{"tafull.good.example", "verified"},
		{"tafullkey.good.example", "verified"},
		{"tahidden.good.example", "refused: tlsa-invalid"},
		{"talate.good.example", "refused: certificate-expired"},
		{"taname.good.example", "refused: certificate-host-mismatch"},
		{"tadomain.good.example", "verified"},
		{"tawild.good.example", "verified"},
		{"taself.good.example", "refused: tlsa-invalid"},
		{"tawrong.good.example", "refused: tlsa-invalid"},
		{"pkix.good.example", "encrypted"},
		{"short.good.example", "encrypted"},
		{"agile.good.example", "refused: tlsa-invalid"},
		{"either.good.example", "verified"},
		{"none.good.example", "none"},
		{"forged.good.example", "deferred"},
		{"away.good.example", "none"},
		{"alias.good.example", "verified"},
		{"own.good.example", "verified"},
		{"half.good.example", "verified"},
		{"alone.good.example", "verified"},
		{"outside.good.example", "none"},
		{"rotten.good.example", "deferred"},
		{"plain.example", "none"},
		{"inward.plain.example", "none"},
		{"expired.example", "deferred"},
		{"broken.example", "deferred"},
	} {
		t.Run(test.domain, func(t *testing.T) {
			ours := s.ours(t, resolver, test.domain)
			theirs := s.postfix(t, servers, test.domain)
			if ours != test.want {
				t.Errorf("got %s, want %s", ours, test.want)
			}
			if class, _, _ := strings.Cut(ours, ":"); class != theirs {
				t.Errorf("ours %s, Postfix's %s", class, theirs)
			}
		})
	}
}

// ours is what this package makes of a domain's mail host.
func (s *scene) ours(t *testing.T, r *dns.Resolver, domain string) string {
	t.Helper()
	hop := Hop{Host: domain, Port: s.port}
	mx, origin, err := r.LookupMX(t.Context(), domain)
	switch {
	case err == nil && !origin.Secure:
		return "none"
	case err == nil:
		hop.Host, hop.Names = mx[0].Host, []string{domain, origin.Name}
	case !errors.Is(err, dns.ErrNoData):
		return "deferred"
	}
	p, err := Find(t.Context(), r, hop)
	switch {
	case err != nil:
		return "deferred"
	case p.Kind == None:
		return "none"
	}
	client, err := smtp.Dial(fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	err = client.StartTLS(p.Config(nil, time.Now))
	var e *Error
	switch {
	case errors.As(err, &e):
		return "refused: " + e.Result
	case err != nil:
		return err.Error()
	case p.Kind == Encrypt:
		return "encrypted"
	}
	return "verified"
}

// postfix is what Postfix makes of it.
func (s *scene) postfix(t *testing.T, servers *dnstest.Servers, domain string) string {
	t.Helper()
	cmd := servers.Command(t.Context(), t, "posttls-finger", "-c", "-l", "dane", "-L", "verbose", fmt.Sprintf("%s:%d", domain, s.port))
	out, _ := cmd.CombinedOutput() // its status says nothing of DANE
	for _, sign := range []struct{ text, means string }{
		{"MX RRset insecure", "none"}, // Postfix verifies then, too, and calls it trusted at most
		{"Matched DANE", "verified"},
		{": server certificate verification failed", "refused"},
		{": CA certificate verification failed", "refused"},
		{"TLSA lookup error", "deferred"},
		{"address lookup failed", "deferred"},
		{"unsupported TLSA certificate usage", "encrypted"},
		{"all TLSA records unusable", "encrypted"},
		{": setting up TLS connection", "none"},
	} {
		if strings.Contains(string(out), sign.text) {
			return sign.means
		}
	}
	t.Errorf("posttls-finger said:\n%s", out)
	return ""
}
