package peers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/miekg/dns"

	"quorumta/bench/subject"
)

// chasquidServer is chasquid with the DNS that it finds its next hop by: it
// has no plain relay, so mail for the domain that it serves goes through a
// catch-all alias to another, and by MX from there.
type chasquidServer struct {
	*subject.Daemon
	hop  string // its IP address
	stub *dns.Server
}

// stubAddress is where the DNS stub listens; config/chasquid-resolv.conf names
// it.
const stubAddress = "127.0.0.78:53"

// chasquid syncs nothing.
func chasquid(r *room, p subject.Place) (subject.Subject, error) {
	s, address, err := newSettings(p)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		s.write("chasquid.conf", "etc/chasquid.conf"),
		s.write("chasquid-aliases", "etc/domains/sink.example/aliases"),
		s.write("chasquid-resolv.conf", "resolv.conf"),
		writeCertificate(filepath.Join(p.Dir, "etc", "certs", "chasquid.test"), "chasquid.test"),
	)
	if err != nil {
		return nil, err
	}
	r = r.bind(filepath.Join(p.Dir, "resolv.conf"), "/etc/resolv.conf")
	d := r.daemon("chasquid", p.Dir, address, "chasquid", "-config_dir", filepath.Join(p.Dir, "etc"),
		"-testing__outgoing_smtp_port", s.HopPort)
	return &chasquidServer{Daemon: d, hop: s.HopHost}, nil
}

func (c *chasquidServer) Start(ctx context.Context) error {
	conn, err := net.ListenPacket("udp", stubAddress)
	if err != nil {
		return err
	}
	c.stub = &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(c.answer)}
	go func() { _ = c.stub.ActivateAndServe() }() // until Stop closes conn
	return c.Daemon.Start(ctx)
}

func (c *chasquidServer) Stop() error {
	err := c.Daemon.Stop()
	if c.stub != nil {
		err = errors.Join(err, c.stub.PacketConn.Close())
		c.stub = nil
	}
	return err
}

// answer knows the next hop's domain and its host.
func (c *chasquidServer) answer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	name := q.Question[0].Name
	header := dns.RR_Header{Name: name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 3600}
	switch {
	case name == "hop.example." && header.Rrtype == dns.TypeMX:
		m.Answer = []dns.RR{&dns.MX{Hdr: header, Preference: 1, Mx: "mx.hop.example."}}
	case name == "mx.hop.example." && header.Rrtype == dns.TypeA:
		m.Answer = []dns.RR{&dns.A{Hdr: header, A: net.ParseIP(c.hop)}}
	case name != "hop.example." && name != "mx.hop.example.":
		m.Rcode = dns.RcodeNameError
	}
	_ = w.WriteMsg(m) // who does not hear it asks again
}

// writeCertificate makes a certificate that nobody trusts: the server does not
// start without one.
func writeCertificate(dir, host string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	c := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: host},
		DNSNames: []string{host}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(30 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "fullchain.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644),
		os.WriteFile(filepath.Join(dir, "privkey.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
}
