package enroll

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"time"

	"quorumta/cmd/quorumta/authority"
	"quorumta/internal/admin/token"
	"quorumta/internal/config"
)

// Roster is the cluster, which admits members. Its methods are called from
// several goroutines.
type Roster interface {
	// ClusterID is the cluster's id.
	ClusterID() string
	// Members are name and address of all.
	Members() map[string]string
	// Redeem spends a token's secret and admits the member, durably, or does
	// neither.
	Redeem(ctx context.Context, secret []byte, m Member) error
	// Join admits a member that has proven itself. A name whose present
	// incarnation is alive is refused.
	Join(ctx context.Context, m Member) error
}

// Desk answers newcomers at one member.
type Desk struct {
	Roster Roster
	// CAFile is the certificate of the cluster's CA, KeyFile its key; "" where
	// this member does not sign.
	CAFile, KeyFile string
	// Pattern is how this member is configured.
	Pattern func() (*Pattern, error)
	Log     *slog.Logger
	// Now is the time, for certificates.
	Now func() time.Time
}

// refusal is an error whose text the newcomer may read: it says what to do and
// nothing of the cluster's inside.
type refusal struct{ text string }

// Error implements error.
func (e refusal) Error() string { return e.text }

func refuse(format string, args ...any) error { return refusal{fmt.Sprintf(format, args...)} }

// sharedLimit bounds the part of the configuration that goes with an answer,
// bytes: the cluster port carries answers of 64 KiB.
const sharedLimit = 40 << 10

// Handle answers one request. An error is the refusal, for the newcomer to
// read.
func (d *Desk) Handle(ctx context.Context, body []byte) ([]byte, error) {
	answer, err := d.answer(ctx, body)
	if err == nil {
		return json.Marshal(answer)
	}
	var known refusal
	if errors.As(err, &known) {
		return nil, known
	}
	d.Log.Error("cannot let a node in", "error", err)
	return nil, errors.New("this member cannot admit another now; its log has the reason. Try again, or at another member")
}

func (d *Desk) answer(ctx context.Context, body []byte) (*Answer, error) {
	var r Request
	if err := json.Unmarshal(body, &r); err != nil || r.Version != requestVersion {
		return nil, refuse("the request cannot be read here: use the same version of quorumta on both sides")
	}
	key, err := r.proven()
	if err != nil {
		return nil, refusal{err.Error()}
	}
	if err := d.identify(&r, key); err != nil {
		return nil, err
	}
	answer := &Answer{Cluster: d.Roster.ClusterID(), Name: r.Member.Name}
	if len(r.Certificate) > 0 {
		err = explained(d.Roster.Join(ctx, r.Member))
	} else {
		err = d.admit(ctx, r, key, answer)
	}
	if err != nil {
		return nil, err
	}
	answer.Members = maps.Clone(d.Roster.Members())
	answer.Members[r.Member.Name] = r.Member.Address
	d.Log.Info("a node was let in", "member", r.Member.Name, "incarnation", r.Member.Incarnation, "address", r.Member.Address)
	return answer, nil
}

// identify checks what the newcomer says of itself, and gives it a name where
// it has none.
func (d *Desk) identify(r *Request, key crypto.PublicKey) error {
	m := &r.Member
	if host, port, err := net.SplitHostPort(m.Address); err != nil || host == "" || port == "0" {
		return refuse("%q is not an address that other nodes can reach: host:port is", m.Address)
	} else if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return refuse("%s means every address: say the one by which the other nodes reach this one", host)
	}
	if len(r.Certificate) > 0 {
		return d.recognise(r, key)
	}
	if len(r.Secret) != token.SecretSize {
		return refuse("neither a token nor a certificate was shown")
	}
	if m.Name == "" {
		m.Name = free(d.Roster.Members())
	}
	if !config.IsNodeName(m.Name) || m.Name == authority.Administrator {
		return refuse("%q cannot be a node's name: letters, digits, - and _ can, %q is taken", m.Name, authority.Administrator)
	}
	return nil
}

// recognise takes the newcomer's name from its certificate.
func (d *Desk) recognise(r *Request, key crypto.PublicKey) error {
	roots, err := pool(d.CAFile)
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		return refuse("the certificate cannot be read")
	}
	_, err = cert.Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: d.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return refuse("the certificate is not one of this cluster's CA, or has expired: join with a token (quorumta cluster token)")
	}
	if own, ok := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !own.Equal(key) {
		return refuse("the request is not signed with the certificate's key")
	}
	if cert.Subject.CommonName != r.Member.Name || r.Member.Name == authority.Administrator {
		return refuse("the certificate is of %q, and %q wants to join: a node has its own", cert.Subject.CommonName, r.Member.Name)
	}
	if _, has := d.Roster.Members()[r.Member.Name]; !has {
		return refuse("%q is no member: a new node, and one that was removed, joins with a token (quorumta cluster token)", r.Member.Name)
	}
	return nil
}

// admit spends the token and signs a certificate. Whatever can fail here does
// so before the token is spent.
func (d *Desk) admit(ctx context.Context, r Request, key crypto.PublicKey, answer *Answer) error {
	if d.KeyFile == "" {
		return refuse("this member has no cluster.tls.ca_key to sign with: join at another, the token is still good")
	}
	ca, err := authority.Load(d.CAFile, d.KeyFile)
	if err != nil {
		d.Log.Error("cannot sign for a node that joins", "error", err)
		return refuse("this member cannot read the CA's key: join at another, the token is still good")
	}
	host, _, _ := net.SplitHostPort(r.Member.Address)
	cert, err := ca.Sign(key, r.Member.Name, []string{r.Member.Name, host}, d.Now())
	if err != nil {
		return err
	}
	if answer.Pattern, err = d.Pattern(); err != nil {
		return err
	}
	if len(answer.Pattern.Shared) > sharedLimit {
		answer.Pattern.Shared = ""
	}
	answer.Certificate, answer.CA = string(cert), string(ca.PEM())
	return explained(d.Roster.Redeem(ctx, r.Secret, r.Member))
}

// explained passes on what the cluster says to who has proven itself, or only
// learns that its token is no good.
func explained(err error) error {
	if err == nil {
		return nil
	}
	return refusal{err.Error()}
}

// free is the first of n1, n2, … that no member has.
func free(members map[string]string) string {
	for i := 1; ; i++ {
		name := "n" + strconv.Itoa(i)
		if _, taken := members[name]; !taken {
			return name
		}
	}
}
