package wire

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
)

// Who joins has no certificate yet. It speaks joinProtocol: TLS in which only
// the port shows a certificate, with that of the CA, which the joiner knows by
// its digest. Then one request and one answer:
//
//	request  length 4 bytes, big endian, at most joinRequest; the request
//	answer   verdict 1 byte: 0 is the answer, 1 a reason for the refusal;
//	         length 4 bytes, at most joinAnswer; the answer or the reason
const (
	joinProtocol = "quorumta-join/1"

	joinTimeout = 5 * time.Second
	joinRequest = 16 << 10
	joinAnswer  = 64 << 10
	// joining is how many are served at once; a refused one keeps its place for
	// joinDelay, so that nobody can try many secrets.
	joining   = 4
	joinDelay = time.Second

	joined  byte = 0
	refused byte = 1
)

// JoinError is why a node was not let join, in the other side's words.
type JoinError struct {
	Text string
}

// Error implements error.
func (e *JoinError) Error() string { return "not let join: " + e.Text }

// asksToJoin reports whether a client speaks joinProtocol and nothing else.
func asksToJoin(hello *tls.ClientHelloInfo) bool {
	return slices.Equal(hello.SupportedProtos, []string{joinProtocol})
}

// joinTLS is the server's side for who has no certificate.
func (p *Port) joinTLS() *tls.Config {
	c := p.o.TLS.Clone()
	c.NextProtos = []string{joinProtocol}
	c.ClientAuth = tls.NoClientCert
	c.ClientCAs, c.VerifyPeerCertificate, c.VerifyConnection = nil, nil, nil
	c.MinVersion = tls.VersionTLS13
	own := c.Clone()
	c.Certificates, c.GetConfigForClient = nil, nil
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := certificate(own, hello)
		if err != nil {
			return nil, err
		}
		shown := *cert
		shown.Certificate = append(slices.Clone(cert.Certificate[:1]), p.o.CA)
		return &shown, nil
	}
	return c
}

// certificate is the one that a configuration serves.
func certificate(c *tls.Config, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.GetCertificate != nil {
		if cert, err := c.GetCertificate(hello); cert != nil || err != nil {
			return cert, err
		}
	}
	if len(c.Certificates) == 0 {
		return nil, errors.New("no certificate")
	}
	return &c.Certificates[0], nil
}

// letJoin serves one who joins, and closes the connection.
func (p *Port) letJoin(ctx context.Context, conn net.Conn) {
	select {
	case p.joining <- struct{}{}:
	default:
		p.refuse(conn, "busy", nil)
		return
	}
	defer func() { <-p.joining }()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(joinTimeout))
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	request, err := readFrame(conn, joinRequest)
	if err != nil {
		p.refuse(conn, "bad join", err)
		return
	}
	answer, err := p.o.Join(ctx, request)
	if err == nil && len(answer) > joinAnswer {
		err = errors.New("the answer is too long")
	}
	if err == nil {
		_, err = conn.Write(appendFrame([]byte{joined}, answer))
		p.o.Log.Info("let a node join", "peer", conn.RemoteAddr().String(), "err", err)
		return
	}
	select {
	case <-time.After(joinDelay):
	case <-ctx.Done():
	}
	_, _ = conn.Write(appendFrame([]byte{refused}, []byte(err.Error())))
	p.refuse(conn, "join", err)
}

// Join asks the port at the address to let this node join. pin is SHA-256 of
// the CA's certificate: nothing is sent to a port whose certificate is not of
// that CA. A refusal is a *JoinError.
func Join(ctx context.Context, network Network, address string, pin [32]byte, request []byte) (answer []byte, err error) {
	if len(request) > joinRequest {
		return nil, fmt.Errorf("join: a request of %d bytes is longer than %d", len(request), joinRequest)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*joinTimeout)
	defer cancel()
	plain, err := network.Dial(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	defer plain.Close()
	defer context.AfterFunc(ctx, func() { _ = plain.SetDeadline(time.Now()) })()
	conn := tls.Client(plain, &tls.Config{
		NextProtos:            []string{joinProtocol},
		MinVersion:            tls.VersionTLS13,
		InsecureSkipVerify:    true, // the chain is verified against the pinned CA
		VerifyPeerCertificate: func(chain [][]byte, _ [][]*x509.Certificate) error { return pinned(chain, pin) },
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("join at %s: %w", address, err)
	}
	if _, err := conn.Write(appendFrame(nil, request)); err != nil {
		return nil, fmt.Errorf("join at %s: %w", address, err)
	}
	var verdict [1]byte
	if _, err := io.ReadFull(conn, verdict[:]); err != nil {
		return nil, fmt.Errorf("join at %s: no answer, try again: %w", address, err)
	}
	answer, err = readFrame(conn, joinAnswer)
	switch {
	case err != nil:
		return nil, fmt.Errorf("join at %s: %w", address, err)
	case verdict[0] != joined:
		return nil, &JoinError{string(answer)}
	}
	return answer, nil
}

// pinned verifies that the first certificate of the chain is signed by the one
// whose digest is known.
func pinned(chain [][]byte, pin [32]byte) error {
	if len(chain) != 2 || sha256.Sum256(chain[1]) != pin {
		return errors.New("the port does not show the CA's certificate that the token names: the token is another cluster's, or somebody is in between")
	}
	ca, err := x509.ParseCertificate(chain[1])
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots})
	return err
}

func appendFrame(b, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(body))), body...)
}

func readFrame(r io.Reader, limit uint32) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > limit {
		return nil, fmt.Errorf("%d bytes, and at most %d are taken", size, limit)
	}
	body := make([]byte, size)
	_, err := io.ReadFull(r, body)
	return body, err
}
