package sasl

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// The mechanisms that are known.
const (
	scramSHA256Plus = "SCRAM-SHA-256-PLUS"
	scramSHA1Plus   = "SCRAM-SHA-1-PLUS"
	scramSHA256     = "SCRAM-SHA-256"
	scramSHA1       = "SCRAM-SHA-1"
	oauthBearer     = "OAUTHBEARER"
	xoauth2         = "XOAUTH2"
	plain           = "PLAIN"
	login           = "LOGIN"
	external        = "EXTERNAL"
)

// Login is who logs in, and what proves it: a password, a token, or the client
// certificate of the session.
type Login struct {
	User string
	// Password or Token; of both, the token counts. With neither the client
	// certificate is meant (EXTERNAL).
	Password, Token string
	// Mechanisms are those that may be used, the best first; nil means all that
	// fit what the login has.
	Mechanisms []string
}

// mechanisms are those that fit what the login has, the best first: what keeps
// the secret from the server comes before what hands it over.
func (l Login) mechanisms() []string {
	switch {
	case len(l.Mechanisms) > 0:
		return l.Mechanisms
	case l.Token != "":
		return []string{oauthBearer, xoauth2}
	case l.Password != "":
		return []string{scramSHA256Plus, scramSHA1Plus, scramSHA256, scramSHA1, plain, login}
	}
	return []string{external}
}

// Exchange is one login under way.
type Exchange interface {
	// Begin is what the client says at once; nil where the server speaks first.
	Begin() ([]byte, error)
	// Answer is the response to a challenge. An error means that the exchange
	// is to be given up.
	Answer(challenge []byte) ([]byte, error)
	// Done judges the exchange after the server has said that it worked: an
	// error says that the server has not proved who it is.
	Done() error
}

// ErrNone: the server offers no mechanism that the login may use.
var ErrNone = errors.New("no common mechanism")

// Choose begins a login by the best mechanism that the server offers and the
// login allows. state is the session's TLS, nil in the clear; host is the
// server's, "name:port". The error wraps ErrNone where there is none.
func Choose(l Login, offered []string, state *tls.ConnectionState, host string) (name string, x Exchange, err error) {
	for _, name := range l.mechanisms() {
		if !slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, name) }) {
			continue
		}
		if strings.HasPrefix(name, "SCRAM-") {
			x, err := newScram(l, name, offered, state)
			if errors.Is(err, errNoBinding) {
				continue
			}
			return name, x, err
		}
		return name, l.plainly(name, host), nil
	}
	return "", nil, fmt.Errorf("%w: the server offers %s, we may use %s", ErrNone,
		list(offered), list(l.mechanisms()))
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// plainly is an exchange whose answers do not depend on the challenges.
func (l Login) plainly(name, host string) Exchange {
	switch name {
	case login:
		// draft-murchison-sasl-login: whatever the prompts say. The name is
		// kept until it is asked for, as not all servers take it at once.
		return &spoken{later: []string{l.User, l.Password}}
	case xoauth2:
		// The error's details come as a challenge, which an empty response ends.
		return &spoken{first: "user=" + l.User + "\x01auth=Bearer " + l.Token + "\x01\x01", later: []string{""}, begins: true}
	case oauthBearer:
		return &spoken{first: l.bearer(host), later: []string{"\x01"}, begins: true} // RFC 7628, section 3.2.3
	case external:
		return &spoken{first: l.User, begins: true} // RFC 4422, appendix A
	}
	return &spoken{first: "\x00" + l.User + "\x00" + l.Password, begins: true} // RFC 4616, section 2
}

// bearer is the client's response of RFC 7628, section 3.1.
func (l Login) bearer(host string) string {
	text := "n,a=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(l.User) + ",\x01"
	if name, port, err := net.SplitHostPort(host); err == nil {
		text += "host=" + name + "\x01port=" + port + "\x01"
	}
	return text + "auth=Bearer " + l.Token + "\x01\x01"
}

// spoken says what it has to say, in order.
type spoken struct {
	first  string
	begins bool // first is said at once
	later  []string
}

// Begin implements Exchange.
func (s *spoken) Begin() ([]byte, error) {
	if !s.begins {
		return nil, nil
	}
	return []byte(s.first), nil
}

// Answer implements Exchange.
func (s *spoken) Answer([]byte) ([]byte, error) {
	if len(s.later) == 0 {
		return nil, errors.New("the server asks for more than the mechanism has")
	}
	next := s.later[0]
	s.later = s.later[1:]
	return []byte(next), nil
}

// Done implements Exchange.
func (s *spoken) Done() error { return nil }
