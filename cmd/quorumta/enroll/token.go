package enroll

import (
	"encoding/base64"
	"errors"
	"strings"
)

// tokenPrefix begins every token and names its version.
const tokenPrefix = "qt1."

const (
	pinSize    = 32
	secretSize = 16
)

// Token lets one node join. Its text is
//
//	qt1. + base64url, without padding, of: SHA-256 of the CA's certificate 32 · secret 16
type Token struct {
	// CA is the SHA-256 of the certificate of the cluster's CA.
	CA [pinSize]byte
	// Secret is what the cluster remembers, as a hash.
	Secret [secretSize]byte
}

// String is the token's text.
func (t Token) String() string {
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append(t.CA[:], t.Secret[:]...))
}

// ErrToken: the text is no token.
var ErrToken = errors.New(`a token looks like "qt1.…" and has 68 characters: copy it whole from "quorumta cluster token"`)

// ParseToken reads a token's text.
func ParseToken(s string) (Token, error) {
	var t Token
	text, ok := strings.CutPrefix(strings.TrimSpace(s), tokenPrefix)
	if !ok {
		return t, ErrToken
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != pinSize+secretSize {
		return t, ErrToken
	}
	copy(t.CA[:], b)
	copy(t.Secret[:], b[pinSize:])
	return t, nil
}
