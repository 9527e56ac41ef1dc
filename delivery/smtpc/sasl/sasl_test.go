package sasl

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"
)

// session is both ends' view of a TLS session.
func session(t *testing.T, version uint16) (client, server tls.ConnectionState) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"them.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	cc := tls.Client(a, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
	sc := tls.Server(b, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}})
	done := make(chan error, 1)
	go func() { done <- sc.Handshake() }()
	if err := cc.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	client, server = cc.ConnectionState(), sc.ConnectionState()
	server.PeerCertificates = []*x509.Certificate{leaf} // the binding is to its own
	return client, server
}

// keeper is a server's knowledge of one user, pencil.
func keeper(t *testing.T, hash scram.HashGeneratorFcn, rounds int) *scram.Server {
	t.Helper()
	client, err := hash.NewClient("user", "pencil", "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: rounds})
	if err != nil {
		t.Fatal(err)
	}
	server, err := hash.NewServer(func(name string) (scram.StoredCredentials, error) {
		if name != "user" {
			return scram.StoredCredentials{}, errors.New("unknown")
		}
		return stored, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// run plays a login against a SCRAM server to its end.
func run(x Exchange, server *scram.ServerConversation) error {
	said, err := x.Begin()
	for err == nil {
		challenge, refusal := server.Step(string(said))
		if refusal != nil {
			return fmt.Errorf("server: %w", refusal)
		}
		if said, err = x.Answer([]byte(challenge)); err == nil && server.Done() {
			return x.Done()
		}
	}
	return err
}

func TestScramIsTiedToTheSession(t *testing.T) {
	login := Login{User: "user", Password: "pencil"}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		ours, theirs := session(t, version)
		other, _ := session(t, version)
		for _, c := range []struct {
			name  string
			hash  scram.HashGeneratorFcn
			offer []string
			state *tls.ConnectionState
			uses  string
			works bool
		}{
			{"bound", scram.SHA256, []string{"PLAIN", "SCRAM-SHA-256", "scram-sha-256-plus"}, &ours, scramSHA256Plus, true},
			{"bound, SHA-1", scram.SHA1, []string{"SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"}, &ours, scramSHA1Plus, true},
			{"somebody between the two", scram.SHA256, []string{"SCRAM-SHA-256-PLUS"}, &other, scramSHA256Plus, false},
			{"PLUS hidden on the way", scram.SHA256, []string{"SCRAM-SHA-256"}, &ours, scramSHA256, false},
			{"in the clear", scram.SHA256, []string{"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}, nil, scramSHA256, true},
		} {
			t.Run(tls.VersionName(version)+" "+c.name, func(t *testing.T) {
				name, x, err := Choose(login, c.offer, c.state, "")
				if err != nil || name != c.uses {
					t.Fatalf("%s, %v", name, err)
				}
				binding, ok := bindingOf(&theirs)
				if !ok {
					t.Fatal("no binding")
				}
				server := keeper(t, c.hash, 4096).NewConversationWithChannelBinding(binding)
				if err := run(x, server); (err == nil) != c.works {
					t.Error(err)
				}
			})
		}
	}
}

func TestScramDistrusts(t *testing.T) {
	for name, c := range map[string]struct {
		challenges []string
		want       string
	}{
		"endless hashing":      {[]string{"r=%s,s=c2FsdA==,i=2000000000"}, "rounds of hashing"},
		"hashing for show":     {[]string{"r=%s,s=c2FsdA==,i=1"}, "too few"},
		"not our nonce":        {[]string{"r=x,s=c2FsdA==,i=4096"}, "nonce"},
		"junk":                 {[]string{"hello %s"}, ""},
		"a server without key": {[]string{"r=%s,s=c2FsdA==,i=4096", "v=AAAA"}, ""},
		"worked, without word": {[]string{"r=%s,s=c2FsdA==,i=4096"}, "has not proved"},
	} {
		t.Run(name, func(t *testing.T) {
			_, x, err := Choose(Login{User: "user", Password: "pencil"}, []string{"SCRAM-SHA-256"}, nil, "")
			if err != nil {
				t.Fatal(err)
			}
			said, err := x.Begin()
			_, nonce, _ := strings.Cut(string(said), "r=")
			for _, challenge := range c.challenges {
				if err == nil {
					_, err = x.Answer([]byte(strings.ReplaceAll(challenge, "%s", nonce+"y")))
				}
			}
			if err == nil {
				err = x.Done()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestChoice(t *testing.T) {
	password, token := Login{User: "u", Password: "p"}, Login{User: "u@x,y", Token: "t"}
	for _, c := range []struct {
		login Login
		offer string
		uses  string
		first string
		later []string
	}{
		{password, "LOGIN PLAIN CRAM-MD5", "PLAIN", "\x00u\x00p", nil},
		{password, "LOGIN", "LOGIN", "", []string{"u", "p"}},
		{password, "XOAUTH2 CRAM-MD5", "", "", nil},
		{token, "PLAIN XOAUTH2", "XOAUTH2", "user=u@x,y\x01auth=Bearer t\x01\x01", []string{""}},
		{token, "XOAUTH2 OAUTHBEARER", "OAUTHBEARER", "n,a=u@x=2Cy,\x01host=h.example\x01port=25\x01auth=Bearer t\x01\x01", []string{"\x01"}},
		{Login{User: "u", Password: "p", Mechanisms: []string{"LOGIN", "PLAIN"}}, "PLAIN LOGIN", "LOGIN", "", []string{"u", "p"}},
		{Login{User: "u", Password: "p", Mechanisms: []string{"SCRAM-SHA-256"}}, "PLAIN", "", "", nil},
		{Login{}, "EXTERNAL PLAIN", "EXTERNAL", "", nil},
	} {
		name, x, err := Choose(c.login, strings.Fields(c.offer), nil, "h.example:25")
		if name != c.uses || errors.Is(err, ErrNone) != (c.uses == "") {
			t.Errorf("of %s: %s, %v", c.offer, name, err)
			continue
		}
		if x == nil {
			continue
		}
		if first, err := x.Begin(); string(first) != c.first || err != nil {
			t.Errorf("%s begins %q, %v", name, first, err)
		}
		for _, want := range c.later {
			if got, err := x.Answer([]byte("Prompt")); string(got) != want || err != nil {
				t.Errorf("%s says %q, %v, want %q", name, got, err, want)
			}
		}
		if _, err := x.Answer(nil); err == nil {
			t.Errorf("%s answers for ever", name)
		}
	}
}
