package rules

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorumta/internal/config"
)

// load reads a configuration to which a text was added.
func load(t *testing.T, dir, more string) *config.File {
	t.Helper()
	for _, name := range []string{"ca.pem", "n1.pem", "n1.key"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "quorumta.yaml")
	const text = `node: n1
hostname: relay1.example.com
postmaster: postmaster@corp.example
cluster: {members: {n1: "127.0.0.1:7900"}, tls: {ca: ca.pem, cert: n1.pem, key: n1.key}}
routers: [{name: internet, mx: {}}]
`
	if err := os.WriteFile(path, []byte(text+more), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.Load(path, "")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func writeKey(t *testing.T, path string, bits int, mode os.FileMode) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), mode); err != nil {
		t.Fatal(err)
	}
}

// What is wrong with a key whose name is a constant is found when the file is
// read, and told with its place.
func TestKeysAreReadWithTheFile(t *testing.T) {
	dir := t.TempDir()
	writeKey(t, filepath.Join(dir, "good.pem"), 2048, 0o600)
	writeKey(t, filepath.Join(dir, "open.pem"), 2048, 0o640)
	writeKey(t, filepath.Join(dir, "short.pem"), 1024, 0o600)
	for key, want := range map[string]string{
		`"good.pem"`:           ``,
		`from.domain + ".pem"`: ``, // known when there is a message
		`"` + filepath.Join(dir, "good.pem") + `"`: ``,
		`"none.pem"`:    `quorumta.yaml:6:41: read the key`,
		`"open.pem"`:    `chmod 600 it`,
		`"short.pem"`:   `the RSA key has 1024 bits`,
		`"../good.pem"`: `has .. in its path`,
	} {
		f := load(t, dir, `dkim: [{name: x, selector: '"s"', key: '`+key+"'}]\n")
		_, err := Outgoing(f, Keys(slog.New(slog.DiscardHandler)))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
