package main

import (
	"crypto/tls"

	"quorumta/internal/config"
)

// certificates are all that the listeners may show.
type certificates struct {
	all []*certificate
	// named are those of the configuration's certificates; "" is that of tls.
	named map[string]*certificate
}

func (n *node) newCertificates(f *config.File) (c certificates, err error) {
	c.named = map[string]*certificate{}
	list := f.Certificates
	if f.TLS.Cert != "" {
		list = append([]config.Certificate{{Cert: f.TLS.Cert, Key: f.TLS.Key}}, list...)
	}
	for _, x := range list {
		read, err := newCertificate(x.Cert, x.Key, n.log)
		if err != nil {
			return c, err
		}
		c.named[x.Name] = read
		c.all = append(c.all, read)
	}
	return c, nil
}

// server is what a listener shows: its own certificate, but to who asks for a
// name that this one has not, the first that has (SNI). Mail servers ask for
// the name in an MX record; most verify nothing, and many ask for nothing. It is
// nil where there is no certificate.
func (c certificates) server(name string) *tls.Config {
	own := c.named[name]
	if own == nil {
		return nil
	}
	config := own.server()
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair := own.get()
		if hello.ServerName == "" || pair.Leaf.VerifyHostname(hello.ServerName) == nil {
			return pair, nil
		}
		for _, other := range c.all {
			if p := other.get(); p.Leaf.VerifyHostname(hello.ServerName) == nil {
				return p, nil
			}
		}
		return pair, nil
	}
	return config
}
