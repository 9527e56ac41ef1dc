package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// own2 is the part of a second node's file that is its own.
const own2 = `node: n2
hostname: relay2.example.com
data: data
cluster:
  listen: 10.0.0.2:7900
  members: {n1: 10.0.0.1:7900, n2: 10.0.0.2:7900}
  tls: {ca: ca.pem, cert: n1.pem, key: n1.key}
listeners: [{name: mx, address: ":25"}]
`

func TestSharedPartMakesAnotherNodesFile(t *testing.T) {
	first, err := Load(write(t, example), "")
	if err != nil {
		t.Fatal(err)
	}
	shared, err := first.Shared()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(shared), "relay1") || strings.Contains(string(shared), "7900") {
		t.Errorf("what is n1's own is shared:\n%s", shared)
	}
	second, err := Load(write(t, own2+string(shared)), "")
	if err != nil {
		t.Fatalf("%v in\n%s", err, own2+string(shared))
	}
	differ := cmpopts.IgnoreFields(File{}, "Node", "Hostname", "Data", "Cluster", "Admin", "TLS", "Certificates", "Listeners")
	unexported := cmpopts.IgnoreUnexported(File{})
	prefixes := cmp.Comparer(func(a, b Prefix) bool { return a == b })
	if d := cmp.Diff(first, second, differ, unexported, prefixes); d != "" {
		t.Errorf("the shared part says something else at n2:\n%s", d)
	}
}

func TestTheAuthoritysKeyIsKeptClosed(t *testing.T) {
	path := write(t, strings.Replace(example, "key: n1.key}", "key: n1.key, ca_key: ca.key}", 1))
	key := filepath.Join(filepath.Dir(path), "ca.key")
	if err := os.WriteFile(key, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, ""); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a CA key that others may read: %v", err)
	}
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load(path, "")
	if err != nil || f.Cluster.TLS.CAKey != key {
		t.Errorf("%v, %v", f, err)
	}
}
