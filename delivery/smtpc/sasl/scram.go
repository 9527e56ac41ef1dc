package sasl

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// mostIterations bounds what a server can have us compute: half a second.
const mostIterations = 1_000_000

// errNoBinding: the session has nothing that a login could be tied to.
var errNoBinding = errors.New("no channel binding")

// exchange is a login by SCRAM (RFC 5802).
type exchange struct {
	talk *scram.ClientConversation
}

// newScram begins one. By a mechanism with -PLUS it is tied to the session;
// without, it tells the server that it could have been, so that the server
// notices when somebody has hidden that it offers -PLUS (RFC 5802, section 6).
func newScram(l Login, name string, offered []string, state *tls.ConnectionState) (Exchange, error) {
	hash := scram.SHA256
	if strings.HasPrefix(name, scramSHA1) {
		hash = scram.SHA1
	}
	client, err := hash.NewClient(l.User, l.Password, "")
	if err != nil { // what SASLprep refuses may still be the password
		client, err = hash.NewClientUnprepped(l.User, l.Password, "")
	}
	if err != nil {
		return nil, fmt.Errorf("begin %s: %w", name, err)
	}
	binding, bound := bindingOf(state)
	switch plus := strings.HasSuffix(name, "-PLUS"); {
	case plus && !bound:
		return nil, errNoBinding
	case plus:
		return &exchange{client.NewConversationWithChannelBinding(binding)}, nil
	case bound && !slices.ContainsFunc(offered, func(o string) bool { return strings.HasSuffix(strings.ToUpper(o), "-PLUS") }):
		return &exchange{client.NewConversationAdvertisingChannelBinding()}, nil
	}
	return &exchange{client.NewConversation()}, nil
}

// bindingOf is what names a TLS session: its exporter since TLS 1.3 (RFC 9266),
// before that the server's certificate (RFC 5929, section 4).
func bindingOf(state *tls.ConnectionState) (scram.ChannelBinding, bool) {
	if state == nil {
		return scram.ChannelBinding{}, false
	}
	by := scram.NewTLSServerEndpointBinding
	if state.Version >= tls.VersionTLS13 {
		by = scram.NewTLSExporterBinding
	}
	binding, err := by(state)
	return binding, err == nil
}

// Begin implements Exchange.
func (x *exchange) Begin() ([]byte, error) { return x.step("") }

// Answer implements Exchange.
func (x *exchange) Answer(challenge []byte) ([]byte, error) {
	for field := range strings.SplitSeq(string(challenge), ",") {
		if digits, ok := strings.CutPrefix(field, "i="); ok {
			if n, err := strconv.Atoi(digits); err == nil && n > mostIterations {
				return nil, fmt.Errorf("the server asks for %d rounds of hashing", n)
			}
		}
	}
	return x.step(string(challenge))
}

func (x *exchange) step(challenge string) ([]byte, error) {
	response, err := x.talk.Step(challenge)
	return []byte(response), err
}

// Done implements Exchange.
func (x *exchange) Done() error {
	if !x.talk.Valid() {
		return errors.New("the server has not proved that it knows the password")
	}
	return nil
}
