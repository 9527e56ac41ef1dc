package site

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"quorumta/delivery/route"
	"quorumta/delivery/smtpc"
	"quorumta/queue/event"
)

// authority is a certificate for a name that is its own root.
func authority(t *testing.T, name string) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

// secret is a server with TLS: from the first byte on, or by STARTTLS.
func secret(cfg *tls.Config, implicit bool) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { _ = c.Close() }()
		hidden := implicit
		if hidden {
			c = tls.Server(c, cfg)
		}
		_, _ = io.WriteString(c, "220 hi\r\n")
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			switch {
			case strings.HasPrefix(line, "EHLO") && hidden:
				_, _ = io.WriteString(c, "250 them\r\n")
			case strings.HasPrefix(line, "EHLO"):
				_, _ = io.WriteString(c, "250-them\r\n250 STARTTLS\r\n")
			case strings.HasPrefix(line, "STARTTLS"):
				_, _ = io.WriteString(c, "220 go\r\n")
				c, hidden = tls.Server(c, cfg), true
				r = bufio.NewReader(c)
			default:
				_, _ = io.WriteString(c, "221 bye\r\n")
				_, _ = io.Copy(io.Discard, r)
				return
			}
		}
	}
}

func TestTLSModes(t *testing.T) {
	cfg, pool := authority(t, "right.example")
	old := cfg.Clone()
	old.MaxVersion = tls.VersionTLS11
	for name, c := range map[string]struct {
		mode     route.TLSMode
		host     string
		port     uint16
		server   *tls.Config
		works    bool
		verified string
	}{
		"off":                 {route.TLSOff, "right.example", 25, cfg, true, ""},
		"try":                 {route.TLSTry, "other.example", 25, cfg, true, "unverified"},
		"try, too old":        {route.TLSTry, "right.example", 25, old, true, ""},
		"require":             {route.TLSRequire, "other.example", 25, cfg, true, "unverified"},
		"require, too old":    {route.TLSRequire, "right.example", 25, old, false, ""},
		"verify":              {route.TLSVerify, "right.example", 25, cfg, true, "verified"},
		"verify, wrong name":  {route.TLSVerify, "other.example", 25, cfg, false, ""},
		"implicit":            {route.TLSVerify, "right.example", 465, cfg, true, "verified"},
		"implicit wrong name": {route.TLSVerify, "other.example", 465, cfg, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := &network{hosts: map[string]func(net.Conn){"192.0.2.1": secret(c.server, c.port == 465)}}
			set := New(Options{SMTP: smtpc.Options{Hostname: "us.example"}, Dial: n.dial, TLS: &tls.Config{RootCAs: pool}})
			h := host(c.host, "192.0.2.1", 0)
			h.Port = c.port
			conn, failure := set.Site(target(c.mode, h)).Connect(t.Context(), nil)
			if !c.works {
				if failure == nil || failure.Kind != event.ErrorTLS {
					t.Errorf("%+v", failure)
				}
				return
			}
			if failure != nil {
				t.Fatal(failure)
			}
			defer conn.Leave(t.Context())
			if got := conn.Peer().TLS; !strings.HasSuffix(got, " "+c.verified) && got != c.verified || (got == "") != (c.verified == "") {
				t.Errorf("%q", got)
			}
		})
	}
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
