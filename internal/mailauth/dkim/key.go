package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// minRSA is the least length of an RSA key in bits: RFC 8301, section 3.2,
// wants signers to use 2048.
const minRSA = 2048

// Key is a private key with its algorithm; safe for concurrent use.
type Key struct {
	private   crypto.Signer
	algorithm string
}

// ParseKey reads the first private key of a PEM text: PKCS #1 (RSA) or PKCS #8
// (RSA, Ed25519).
func ParseKey(text []byte) (*Key, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, errors.New("there is no private key in PEM form")
		}
		switch block.Type {
		case "RSA PRIVATE KEY":
			key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("PKCS #1: %w", err)
			}
			return newKey(key)
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("PKCS #8: %w", err)
			}
			return newKey(key)
		}
	}
}

// newKey chooses the algorithm for a key.
func newKey(private any) (*Key, error) {
	switch key := private.(type) {
	case *rsa.PrivateKey:
		if bits := key.N.BitLen(); bits < minRSA {
			return nil, fmt.Errorf("the RSA key has %d bits; %d are the least (RFC 8301, section 3.2)", bits, minRSA)
		}
		key.Precompute()
		return &Key{key, "rsa-sha256"}, nil
	case ed25519.PrivateKey:
		return &Key{key, "ed25519-sha256"}, nil
	}
	return nil, fmt.Errorf("a key for DKIM is RSA or Ed25519, not %T", private)
}

// Algorithm is the value of a tag a=: "rsa-sha256" or "ed25519-sha256".
func (k *Key) Algorithm() string { return k.algorithm }

// Public is the other half.
func (k *Key) Public() crypto.PublicKey { return k.private.Public() }

// Sign signs a SHA-256 hash: by RSASSA-PKCS1-v1_5 (RFC 6376, section 3.3.1), or
// as the text of PureEdDSA (RFC 8463, section 3).
func (k *Key) Sign(hash []byte) ([]byte, error) {
	kind := crypto.SHA256
	if _, ok := k.private.(ed25519.PrivateKey); ok {
		kind = crypto.Hash(0)
	}
	signature, err := k.private.Sign(nil, hash, kind)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return signature, nil
}
