package enroll

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"quorumta/cluster/wire"
	"quorumta/cmd/quorumta/authority"
	"quorumta/internal/admin/token"
)

// town is a cluster of one member with a desk.
type town struct {
	t       *testing.T
	dir     string
	ca      *authority.Authority
	desk    *Desk
	address string
	token   token.Token

	mu      sync.Mutex // guards the rest
	members map[string]string
	spent   bool
	joined  []Member
}

var errToken = errors.New("the token is unknown, used or expired: draw a new one with quorumta cluster token")

// ClusterID implements Roster.
func (c *town) ClusterID() string { return "c1" }

// Members implements Roster.
func (c *town) Members() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.members)
}

// Redeem implements Roster.
func (c *town) Redeem(ctx context.Context, secret []byte, m Member) error {
	if string(secret) != string(c.token.Secret[:]) || c.spent {
		return errToken
	}
	c.spent = true
	return c.Join(ctx, m)
}

// Join implements Roster.
func (c *town) Join(_ context.Context, m Member) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[m.Name] = m.Address
	c.joined = append(c.joined, m)
	return nil
}

func found(t *testing.T) *town {
	t.Helper()
	c := &town{t: t, dir: t.TempDir(), members: map[string]string{"n1": "127.0.0.1:7901"}}
	c.ca, c.token = c.authority("ca")
	c.desk = &Desk{
		Roster: c, CAFile: filepath.Join(c.dir, "ca", "ca.pem"), KeyFile: filepath.Join(c.dir, "ca", "ca.key"),
		Pattern: func() (*Pattern, error) { return &Pattern{Domain: "example.com"}, nil },
		Log:     slog.New(slog.DiscardHandler), Now: time.Now,
	}
	if err := c.ca.Issue(c.dir, "n1", []string{"n1", "127.0.0.1"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	c.open()
	return c
}

// authority is a CA in a folder of its own, and a token that pins it.
func (c *town) authority(name string) (*authority.Authority, token.Token) {
	ca, err := authority.New(time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	dir := filepath.Join(c.dir, name)
	if err := errors.Join(os.Mkdir(dir, 0o700), ca.Save(dir)); err != nil {
		c.t.Fatal(err)
	}
	t := token.Token{CA: ca.Fingerprint()}
	_, _ = rand.Read(t.Secret[:])
	return ca, t
}

func (c *town) applicant(name string) *Applicant {
	key, err := authority.NewKey()
	if err != nil {
		c.t.Fatal(err)
	}
	return &Applicant{Member: Member{Name: name, Incarnation: "i-" + name, Address: ":7904", Level: 1}, Key: key, CA: c.token.CA, Secret: slices.Clone(c.token.Secret[:])}
}

// open opens the cluster port of n1 until the test ends.
func (c *town) open() {
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.dir, "n1.pem"), filepath.Join(c.dir, "n1.key"))
	if err != nil {
		c.t.Fatal(err)
	}
	block, _ := pem.Decode(c.ca.PEM())
	network := &listening{bound: make(chan string, 1)}
	port, err := wire.New(wire.Options{
		Self: "n1/i1", Cluster: "c1", Listen: "127.0.0.1:0", Members: c.members,
		TLS: &tls.Config{Certificates: []tls.Certificate{pair}}, CA: block.Bytes,
		Network: network, Join: c.desk.Handle, Log: c.desk.Log, Meter: noop.NewMeterProvider().Meter(""),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- port.Run(ctx) }()
	c.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Error(err)
		}
	})
	c.address = <-network.bound
}

// listening tells where it listens.
type listening struct {
	network
	bound chan string
}

// Listen implements wire.Network.
func (n *listening) Listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil {
		n.bound <- l.Addr().String()
	}
	return l, err
}

func (c *town) apply(a *Applicant) (*Answer, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	return a.Apply(ctx, c.address)
}

func TestATokenIsReadAsItIsWritten(t *testing.T) {
	c := found(t)
	got, err := token.Parse(" " + c.token.String() + "\n")
	if err != nil || got != c.token {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "qt1.", c.token.String()[:60], "qt2." + c.token.String()[4:], c.token.String() + "A"} {
		if _, err := token.Parse(bad); !errors.Is(err, token.ErrText) {
			t.Errorf("%q is taken: %v", bad, err)
		}
	}
}

func TestATokenLetsOneNodeIn(t *testing.T) {
	c := found(t)
	first := c.applicant("")
	a, err := c.apply(first)
	if err != nil {
		t.Fatal(err)
	}
	if a.Name != "n2" || a.Cluster != "c1" || a.Members["n2"] != "127.0.0.1:7904" || a.Pattern.Domain != "example.com" {
		t.Errorf("%+v", a)
	}
	if len(c.joined) != 1 || c.joined[0].Incarnation != "i-" || c.joined[0].Level != 1 {
		t.Errorf("joined: %+v", c.joined)
	}
	block, _ := pem.Decode([]byte(a.Certificate))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(a.CA))
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: "n2"}); err != nil || !first.Key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(cert.PublicKey) {
		t.Errorf("the certificate: %v", err)
	}
	_, err = c.apply(c.applicant(""))
	var refused *wire.JoinError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "cluster token") {
		t.Errorf("the token a second time: %v", err)
	}
}

func TestWhoIsNotLetIn(t *testing.T) {
	c := found(t)
	other, foreign := c.authority("other")
	if err := other.Issue(c.dir, "stranger", []string{"n1"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.dir, "stranger.pem"), filepath.Join(c.dir, "stranger.key"))
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Applicant){
		"the token is another cluster": func(a *Applicant) { a.CA = foreign.CA },
		"cluster token":                func(a *Applicant) { a.Secret[0]++ },
		`"admin" is taken`:             func(a *Applicant) { a.Member.Name = "admin" },
		"letters, digits":              func(a *Applicant) { a.Member.Name = "n/1" },
		"reach this one":               func(a *Applicant) { a.Member.Address = "0.0.0.0:7904" },
		"not one of this cluster's":    func(a *Applicant) { a.Certificate = pair.Certificate[0] },
		"say another --port":           func(a *Applicant) { a.Member.Address = c.address },
		"signed for another":           func(a *Applicant) { a.Member.Incarnation = "" },
	} {
		a := c.applicant("n2")
		change(a)
		if _, err := c.apply(a); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("want %q: %v", what, err)
		}
	}
	if len(c.joined) > 0 || c.spent {
		t.Errorf("let in: %+v", c.joined)
	}
}

func TestACertificateBringsAWipedNodeBack(t *testing.T) {
	c := found(t)
	if err := c.ca.Issue(c.dir, "n3", []string{"n3"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.dir, "n3.pem"), filepath.Join(c.dir, "n3.key"))
	if err != nil {
		t.Fatal(err)
	}
	a := c.applicant("n3")
	a.Certificate = pair.Certificate[0]
	if _, err := c.apply(a); err == nil || !strings.Contains(err.Error(), "not signed with the certificate's key") {
		t.Errorf("a stolen certificate without its key: %v", err)
	}
	a.Key = pair.PrivateKey.(crypto.Signer)
	c.desk.KeyFile = "" // which it takes no signature for
	if _, err := c.apply(a); err == nil || !strings.Contains(err.Error(), "with a token") {
		t.Errorf("a node that was removed: %v", err)
	}
	c.members["n3"] = "127.0.0.1:7903"
	answer, err := c.apply(a)
	if err != nil || answer.Cluster != "c1" || answer.Certificate != "" || answer.Members["n3"] == "" {
		t.Errorf("%+v, %v", answer, err)
	}
	a.Member.Name = "n4"
	if _, err := c.apply(a); err == nil || !strings.Contains(err.Error(), `"n3"`) {
		t.Errorf("under another name: %v", err)
	}
}

func TestATokenIsNotSpentWhereNobodyCanSign(t *testing.T) {
	c := found(t)
	c.desk.KeyFile = ""
	if _, err := c.apply(c.applicant("n2")); err == nil || !strings.Contains(err.Error(), "still good") || c.spent {
		t.Errorf("%v, spent %v", err, c.spent)
	}
}
