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

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"two": "new\n\nold\n", "empty": "\n", "open": "x\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "open"), 0o644); err != nil {
		t.Fatal(err)
	}
	const text = "srs: {domain: srs.example, secret: two}\nbatv: {keys: {3: two}, key: 3}\n"
	r, err := Returns(load(t, dir, text))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.SRS.Secrets) != 2 || string(r.SRS.Secrets[0]) != "new" || r.SRS.MaxAge != 21 || r.SRS.Length != 4 || r.SRS.SHA1 ||
		string(r.BATV.Keys[3]) != "new" || r.BATV.Key != 3 || r.BATV.Days != 7 || r.Check != nil {
		t.Errorf("%+v %+v", r.SRS, r.BATV)
	}
	for change, want := range map[string]string{
		"secret: none": "6:36: read the key", "secret: open": "chmod 600", "secret: empty": "there is no secret in it", "keys: {3: open}": "chmod 600",
	} {
		key, _, _ := strings.Cut(change, ":")
		_, after, _ := strings.Cut(text, key+":")
		end := strings.IndexByte(after, '}')
		old := key + ":" + after[:end]
		if key == "keys" {
			old += "}"
		}
		if _, err := Returns(load(t, dir, strings.Replace(text, old, change, 1))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", change, err)
		}
	}
	if r, err := Returns(load(t, dir, "")); r != nil || err != nil {
		t.Errorf("without a word: %v, %v", r, err)
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
		_, err := Outgoing(f, Keys(slog.New(slog.DiscardHandler)), nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", key, err)
		}
	}
}
