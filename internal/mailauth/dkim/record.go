package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// PublicKey is a key as DNS publishes it.
type PublicKey struct {
	key       crypto.PublicKey
	algorithm string
}

// ErrRevoked means that a record has no key any more (RFC 6376, section 3.6.1).
var ErrRevoked = errors.New("the key was revoked")

// leastRSA is the least length of an RSA key that is believed (RFC 8301,
// section 3.2).
const leastRSA = 1024

// RecordName is where the key of a domain's selector is published (RFC 6376,
// section 3.6.2.1).
func RecordName(selector, domain string) string { return selector + "._domainkey." + domain }

// ParseRecord reads a key record (RFC 6376, section 3.6.1; RFC 8463).
func ParseRecord(text string) (*PublicKey, error) {
	tags, err := ParseTags(text)
	if err != nil {
		return nil, fmt.Errorf("read a key record: %w", err)
	}
	if v, ok := tags["v"]; ok && v != "DKIM1" {
		return nil, fmt.Errorf("read a key record: its version is %q", v)
	}
	if h, ok := tags["h"]; ok && !slices.Contains(strings.Split(h, ":"), "sha256") {
		return nil, errors.New("read a key record: it is not for SHA-256")
	}
	p, ok := tags["p"]
	if !ok {
		return nil, errors.New("read a key record: it has no key")
	}
	if p == "" {
		return nil, ErrRevoked
	}
	data, err := base64.StdEncoding.DecodeString(p)
	if err != nil {
		return nil, fmt.Errorf("read a key record: %w", err)
	}
	switch tags["k"] {
	case "", "rsa":
		return parseRSA(data)
	case "ed25519":
		if len(data) != ed25519.PublicKeySize {
			return nil, errors.New("read a key record: its Ed25519 key has a wrong length")
		}
		return &PublicKey{ed25519.PublicKey(data), "ed25519-sha256"}, nil
	}
	return nil, fmt.Errorf("read a key record: its kind is %q", tags["k"])
}

// parseRSA reads a SubjectPublicKeyInfo, or the RSAPublicKey of RFC 6376's own
// text.
func parseRSA(data []byte) (*PublicKey, error) {
	key, err := x509.ParsePKIXPublicKey(data)
	if err != nil {
		if key, err = x509.ParsePKCS1PublicKey(data); err != nil {
			return nil, fmt.Errorf("read a key record: %w", err)
		}
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok || public.N.BitLen() < leastRSA {
		return nil, errors.New("read a key record: its key is not RSA, or too short to be believed")
	}
	return &PublicKey{public, "rsa-sha256"}, nil
}

// ErrBadSignature means that a signature is not the key's over the hash.
var ErrBadSignature = errors.New("the signature is wrong")

// Verify checks a signature, in base64 as b= has it, over a SHA-256 hash.
// algorithm is the value of a=.
func (k *PublicKey) Verify(algorithm string, hash []byte, signature string) error {
	data, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || algorithm != k.algorithm {
		return ErrBadSignature
	}
	good := false
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		good = rsa.VerifyPKCS1v15(key, crypto.SHA256, hash, data) == nil
	case ed25519.PublicKey:
		good = ed25519.Verify(key, hash, data)
	}
	if !good {
		return ErrBadSignature
	}
	return nil
}
