package egress

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"quorumta/delivery/smtpc/sasl"
	"quorumta/internal/policy"
)

// Login is who logs in at a server.
type Login struct {
	// If is nil or the condition under which a recipient's mail goes with it.
	If   *policy.Condition
	User string
	// PasswordFile or TokenFile holds what proves it, on its first line; it is
	// read for every login. Neither: the client certificate does.
	PasswordFile, TokenFile string
	// Mechanisms are those of SASL that may be used, the best first; nil: all
	// that fit.
	Mechanisms []string
	// Over is how sure it must be whom we talk to.
	Over Trust
}

// Trust is how sure we are of a server.
type Trust string

// What a login may be said over.
const (
	// OverVerified: over TLS, to a server whose certificate has been verified.
	OverVerified Trust = "verified"
	// OverTLS: over TLS; who answers may be anybody.
	OverTLS Trust = "tls"
	// OverClear: everybody on the way may listen.
	OverClear Trust = "clear"
)

// Why a login is not even tried.
var (
	errClear      = errors.New("the session is in the clear, and a login goes over TLS only, to a verified server (auth: over)")
	errUnverified = errors.New("the server's certificate was not verified, and a login goes to a verified server only (tls: verify, or auth: over)")
)

// May tells why the login must not be said over a session.
func (l *Login) May(secret, verified bool) error {
	switch {
	case l.Over == OverClear:
	case !secret:
		return errClear
	case l.Over != OverTLS && !verified:
		return errUnverified
	}
	return nil
}

// Credentials reads what proves the login.
func (l *Login) Credentials() (sasl.Login, error) {
	who := sasl.Login{User: l.User, Mechanisms: l.Mechanisms}
	var err error
	if l.PasswordFile != "" {
		if who.Password, err = ReadSecret(l.PasswordFile); err != nil {
			return sasl.Login{}, err
		}
	}
	if l.TokenFile != "" {
		who.Token, err = ReadSecret(l.TokenFile)
	}
	return who, err
}

// mostSecret bounds a file of a secret.
const mostSecret = 16 << 10

// ReadSecret reads the first line of a file that nobody but its owner may read.
// The secret is never part of the error.
func ReadSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("read the secret: others may read %s (mode %o): chmod 600 it", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, mostSecret))
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("read the secret: %s is empty", path)
	}
	return line, nil
}
