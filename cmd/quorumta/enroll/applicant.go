package enroll

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"quorumta/cluster/wire"
)

// Applicant is the newcomer's side.
type Applicant struct {
	// Member is who wants to join; without a host, Address gets the one by
	// which this machine reaches the cluster.
	Member Member
	// Key is the newcomer's own.
	Key crypto.Signer
	// CA is the SHA-256 of the certificate of the cluster's CA.
	CA [sha256.Size]byte
	// Secret is a token's, Certificate (DER) that of an earlier life: one of
	// them is there.
	Secret      []byte
	Certificate []byte
}

// network is how the applicant reaches the cluster.
type network struct{ net.Dialer }

// Listen implements wire.Network: an applicant does not.
func (network) Listen(string) (net.Listener, error) { return nil, errors.ErrUnsupported }

// Dial implements wire.Network.
func (n network) Dial(ctx context.Context, address string) (net.Conn, error) {
	return n.DialContext(ctx, "tcp", address)
}

// Apply asks the member at host:port to let the applicant in. What the cluster
// refuses is a *wire.JoinError, whose text says what to do.
func (a *Applicant) Apply(ctx context.Context, address string) (*Answer, error) {
	if err := a.locate(ctx, address); err != nil {
		return nil, err
	}
	request := Request{Version: requestVersion, Member: a.Member, Secret: a.Secret, Certificate: a.Certificate}
	var err error
	if request.Proof, err = prove(a.Key, a.Member.Incarnation); err != nil {
		return nil, err
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	if body, err = wire.Join(ctx, network{}, address, a.CA, body); err != nil {
		return nil, err
	}
	var answer Answer
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the cluster's answer cannot be read: %w", err)
	}
	return &answer, nil
}

// locate completes the applicant's address.
func (a *Applicant) locate(ctx context.Context, cluster string) error {
	host, port, err := net.SplitHostPort(a.Member.Address)
	if err != nil {
		return fmt.Errorf("this node's address: %w", err)
	}
	if host == "" {
		// Sends nothing: the kernel only looks up its way to there.
		way, err := new(net.Dialer).DialContext(ctx, "udp", cluster)
		if err != nil {
			return fmt.Errorf("find the cluster at %s: %w", cluster, err)
		}
		host, _, err = net.SplitHostPort(way.LocalAddr().String())
		if err = errors.Join(err, way.Close()); err != nil {
			return err
		}
	}
	a.Member.Address = net.JoinHostPort(host, port)
	if a.Member.Address == cluster {
		return fmt.Errorf("%s is the member that is asked: say another --port for this node", cluster)
	}
	return nil
}

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
