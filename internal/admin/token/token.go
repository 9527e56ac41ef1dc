// Package token is the text by which an operator lets one node join.
package token

import (
	"encoding/base64"
	"errors"
	"strings"
)

// prefix begins every token and names its version.
const prefix = "qt1."

// SecretSize is the length of a secret, bytes.
const SecretSize = 16

const pinSize = 32

// Token lets one node join. Its text is
//
//	qt1. + base64url, without padding, of: SHA-256 of the CA's certificate 32 · secret 16
type Token struct {
	// CA is the SHA-256 of the certificate of the cluster's CA.
	CA [pinSize]byte
	// Secret is what the cluster remembers, as a hash.
	Secret [SecretSize]byte
}

// String is the token's text.
func (t Token) String() string {
	return prefix + base64.RawURLEncoding.EncodeToString(append(t.CA[:], t.Secret[:]...))
}

// ErrText: the text is no token.
var ErrText = errors.New(`a token looks like "qt1.…" and has 68 characters: copy it whole from "quorumta cluster token"`)

// Parse reads a token's text.
func Parse(s string) (Token, error) {
	var t Token
	text, ok := strings.CutPrefix(strings.TrimSpace(s), prefix)
	if !ok {
		return t, ErrText
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != pinSize+SecretSize {
		return t, ErrText
	}
	copy(t.CA[:], b)
	copy(t.Secret[:], b[pinSize:])
	return t, nil
}
