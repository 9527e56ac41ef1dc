package enroll

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
)

// requestVersion is that of Request and Answer together.
const requestVersion = 1

// Member is who wants to join.
type Member struct {
	// Name is "" where the cluster is to choose one.
	Name        string `json:"name,omitempty"`
	Incarnation string `json:"incarnation"`
	// Address is host:port of its cluster port.
	Address string `json:"address"`
	// Version is the program's, Level the newest event level that it knows.
	Version string `json:"version"`
	Level   int    `json:"level"`
}

// Request is what a newcomer says. It has a token or a certificate.
type Request struct {
	Version int    `json:"v"`
	Member  Member `json:"member"`
	// Secret is the token's.
	Secret []byte `json:"secret,omitempty"`
	// Certificate is the newcomer's own of an earlier life, DER.
	Certificate []byte `json:"certificate,omitempty"`
	// Proof is a certificate request, DER, signed with the newcomer's key. Its
	// subject has the incarnation as serial number.
	Proof []byte `json:"proof"`
}

// Answer is what the member says.
type Answer struct {
	// Cluster is the cluster's id.
	Cluster string `json:"cluster,omitempty"`
	// Name is the newcomer's.
	Name string `json:"name,omitempty"`
	// CA and Certificate are PEM. There is no certificate for who had one.
	CA          string `json:"ca,omitempty"`
	Certificate string `json:"certificate,omitempty"`
	// Members are name and address of all members, the newcomer included.
	Members map[string]string `json:"members,omitempty"`
	// Pattern is how the members are configured.
	Pattern *Pattern `json:"pattern,omitempty"`
}

// Pattern is what a new node's configuration has in common with the others'.
type Pattern struct {
	// Domain completes the node's host name.
	Domain string `json:"domain"`
	// Heartbeat is as the file has it; "" for the default.
	Heartbeat string `json:"heartbeat,omitempty"`
	// LogKeep is as the file has it; "" for the default.
	LogKeep   string     `json:"log_keep,omitempty"`
	Listeners []Listener `json:"listeners"`
	// Shared are the keys that are the same everywhere, YAML; "" where they are
	// too long to be sent.
	Shared string `json:"shared"`
}

// Listener is a port for mail of the answering member.
type Listener struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	TLS     string `json:"tls,omitempty"`
	Proxy   string `json:"proxy,omitempty"`
}

// prove signs that the owner of the key is in this incarnation.
func prove(key crypto.Signer, incarnation string) ([]byte, error) {
	proof, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{Organization: []string{"quorumta"}, SerialNumber: incarnation},
	}, key)
	if err != nil {
		return nil, fmt.Errorf("sign the request: %w", err)
	}
	return proof, nil
}

// proven is the public key of who signed the request's proof.
func (r Request) proven() (crypto.PublicKey, error) {
	csr, err := x509.ParseCertificateRequest(r.Proof)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, fmt.Errorf("the request is not signed: %w", err)
	}
	if csr.Subject.SerialNumber != r.Member.Incarnation || r.Member.Incarnation == "" {
		return nil, errors.New("the request is signed for another incarnation")
	}
	return csr.PublicKey, nil
}
