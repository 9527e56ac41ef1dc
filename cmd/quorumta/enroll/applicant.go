package enroll

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"quorumta/cmd/quorumta/authority"
	"quorumta/internal/admin/token"
)

// Protocol is what ALPN calls the conversation.
const Protocol = "quorumta-join/1"

// Applicant is the newcomer's side.
type Applicant struct {
	// Member is who wants to join; without a host, Address gets the one by
	// which this machine reached the cluster.
	Member Member
	// Key is the newcomer's own.
	Key crypto.Signer
	// Token, or Certificate (DER) and Roots of an earlier life.
	Token       token.Token
	Certificate []byte
	Roots       *x509.CertPool
}

// Apply asks the member at host:port to let the applicant in.
func (a *Applicant) Apply(ctx context.Context, address string) (*Answer, error) {
	dialer := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13,
		NextProtos: []string{Protocol},
		// Which member answers does not matter, that it is one does: verify
		// looks at the CA instead of the name.
		InsecureSkipVerify: true,
		VerifyConnection:   a.verify,
	}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster at %s: %w", address, err)
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if err := a.locate(conn, address); err != nil {
		return nil, err
	}
	request := Request{Version: requestVersion, Member: a.Member, Certificate: a.Certificate}
	if a.Certificate == nil {
		request.Secret = a.Token.Secret[:]
	}
	if request.Proof, err = prove(a.Key, a.Member.Incarnation); err != nil {
		return nil, err
	}
	return exchange(conn, request)
}

// verify accepts a member of the cluster.
func (a *Applicant) verify(s tls.ConnectionState) error {
	roots := a.Roots
	for _, c := range s.PeerCertificates {
		if roots == nil && sha256.Sum256(c.Raw) == a.Token.CA {
			roots = x509.NewCertPool()
			roots.AddCert(c)
		}
	}
	if roots == nil {
		return errors.New("this is not a member of the cluster that the token is of")
	}
	leaf := s.PeerCertificates[0]
	if leaf.Subject.CommonName == authority.Administrator {
		return errors.New("the administrator's certificate is no member's")
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err
}

// locate completes the applicant's address.
func (a *Applicant) locate(conn net.Conn, cluster string) error {
	host, port, err := net.SplitHostPort(a.Member.Address)
	if err != nil {
		return fmt.Errorf("the node's address: %w", err)
	}
	if host == "" {
		if host, _, err = net.SplitHostPort(conn.LocalAddr().String()); err != nil {
			return err
		}
	}
	a.Member.Address = net.JoinHostPort(host, port)
	if a.Member.Address == cluster {
		return fmt.Errorf("%s is the member that was asked: say another --port for this node", cluster)
	}
	return nil
}

// exchange sends the request and reads the answer.
func exchange(conn net.Conn, request Request) (*Answer, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	if body, err = talk(conn, body); err != nil {
		return nil, fmt.Errorf("the cluster gave no answer (if it had a token, it may be spent: draw a new one): %w", err)
	}
	var answer Answer
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the cluster's answer cannot be read: %w", err)
	}
	if answer.Refused != "" {
		return nil, &RefusedError{answer.Refused}
	}
	return &answer, nil
}

// RefusedError is the cluster's no. It says what to do.
type RefusedError struct{ Why string }

// Error implements error.
func (e *RefusedError) Error() string { return "the cluster refuses: " + e.Why }

// pool holds the certificates of a PEM file.
func pool(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return p, nil
}
