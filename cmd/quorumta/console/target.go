// Package console is what the commands have in common: where they print, which
// node they ask, and the statuses they end with.
package console

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"

	"quorumta/internal/admin/api"
	"quorumta/internal/config"
)

// Target is which node a command asks, and in what form it prints.
type Target struct {
	Config      string `help:"Configuration of a node on this machine: its socket is asked." type:"existingfile" xor:"target"`
	Admin       string `help:"HOST:PORT of a node's admin address." xor:"target" placeholder:"HOST:PORT"`
	Credentials string `help:"Folder with ca.pem, admin.pem and admin.key, for --admin." default:"/etc/quorumta/admin"`
	JSON        bool   `help:"Print the stable form." name:"json"`
}

// defaultConfig is asked where neither --config nor --admin is given.
const defaultConfig = "/etc/quorumta/quorumta.yaml"

// Dial makes the client.
func (t *Target) Dial() (*api.Client, error) {
	if t.Admin != "" {
		return t.dialTLS()
	}
	path := t.Config
	if path == "" {
		path = defaultConfig
		if _, err := os.Stat(path); err != nil {
			return nil, UsageError{"say --config FILE or --admin HOST:PORT: there is no " + defaultConfig}
		}
	}
	f, err := config.Load(path, "")
	if err != nil {
		return nil, err
	}
	if f.Admin.Socket == "" {
		return nil, fmt.Errorf("%s has no admin.socket: say --admin HOST:PORT", path)
	}
	return api.DialSocket(f.Admin.Socket), nil
}

func (t *Target) dialTLS() (*api.Client, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(t.Credentials, "admin.pem"), filepath.Join(t.Credentials, "admin.key"))
	if err != nil {
		return nil, fmt.Errorf("read the administrator's certificate (--credentials names its folder, init writes it): %w", err)
	}
	roots, err := certPool(filepath.Join(t.Credentials, "ca.pem"))
	if err != nil {
		return nil, err
	}
	return api.DialTLS(t.Admin, &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, RootCAs: roots,
	}), nil
}

func certPool(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return pool, nil
}

// Ask asks the target and prints the answer: in the stable form, or as tell does.
func Ask[A any](ctx context.Context, t *Target, s Streams, ask func(*api.Client, context.Context) (A, error), tell func(A) error) error {
	client, err := t.Dial()
	if err != nil {
		return err
	}
	defer client.Close()
	answer, err := ask(client, ctx)
	if err != nil {
		return err
	}
	if t.JSON {
		return PrintJSON(s.Out, answer)
	}
	return tell(answer)
}

// PrintJSON prints the stable form.
func PrintJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Whoami is who acts, for the record.
func Whoami() string {
	if u := os.Getenv("SUDO_USER"); u != "" {
		return u
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
