package setup

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quorumta/internal/config"
)

func plan(t *testing.T) Plan {
	t.Helper()
	return Plan{
		Dir: t.TempDir(), Nodes: OnOneHost(3, "127.0.0.1", 7900),
		Domain: "localdomain", Smarthost: "127.0.0.1:2525", Now: time.Now(),
	}
}

func TestNodesTrustEachOtherAndNotTheMailCertificate(t *testing.T) {
	p := plan(t)
	if err := Write(p); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(p.Dir, "n1", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("no CA in ca.pem")
	}
	verify := func(name string) error {
		pair, err := tls.LoadX509KeyPair(filepath.Join(p.Dir, name+".pem"), filepath.Join(p.Dir, name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		return err
	}
	for _, name := range []string{"n1/n1", "n2/n2", "n3/n3", "admin/admin"} {
		if err := verify(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if verify("n1/mx") == nil {
		t.Error("the certificate for mail opens the cluster port")
	}
}

func TestKeysAreTheOwnersAlone(t *testing.T) {
	p := plan(t)
	if err := Write(p); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ca.key", "n1/ca.key", "n1/n1.key", "n1/mx.key", "n1/first-start.json", "admin/admin.key"} {
		info, err := os.Stat(filepath.Join(p.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", name, info.Mode().Perm())
		}
	}
}

func TestFirstStartNamesAllMembers(t *testing.T) {
	p := plan(t)
	if err := Write(p); err != nil {
		t.Fatal(err)
	}
	seen := map[string]FirstStart{}
	for _, n := range p.Nodes {
		text, err := os.ReadFile(filepath.Join(p.Dir, n.Name, FirstStartFile))
		if err != nil {
			t.Fatal(err)
		}
		var f FirstStart
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		if f.Node != n.Name || len(f.Incarnations) != 3 || len(f.Cluster) != 32 {
			t.Errorf("%s: %+v", n.Name, f)
		}
		seen[n.Name] = f
	}
	if seen["n1"].Incarnations["n2"] != seen["n2"].Incarnations["n2"] || seen["n1"].Incarnations["n1"] == seen["n1"].Incarnations["n2"] {
		t.Errorf("incarnations differ or repeat: %v", seen)
	}
}

func TestWhatDiffersFoundsAnotherCluster(t *testing.T) {
	file := func(shards, replicas int) *config.File {
		return &config.File{Cluster: config.Cluster{Shards: shards, Replicas: replicas}}
	}
	first := FirstStart{Cluster: "c1"}
	if id := Founding(first, file(0, 3)); id != "c1" {
		t.Errorf("what nobody says makes it %s", id)
	}
	seen := map[string]bool{"c1": true}
	for _, f := range []*config.File{file(0, 1), file(0, 5), file(6, 3), file(6, 5)} {
		id := Founding(first, f)
		if seen[id] || len(id) != 32 || id != Founding(first, f) {
			t.Errorf("%d shards of %d replicas: %s", f.Cluster.Shards, f.Cluster.Replicas, id)
		}
		seen[id] = true
	}
	first.Joining = true
	if id := Founding(first, file(6, 5)); id != "c1" {
		t.Errorf("who joins c1 joins %s", id)
	}
}

func TestConfigurationIsClosedUnlessOnLoopback(t *testing.T) {
	p := plan(t)
	p.Nodes = OnHosts(map[string]string{"n1": "10.0.0.1"}, []string{"n1"}, 7900)
	if err := Write(p); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(p.Dir, "n1", "quorumta.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "127.0.0.0/8") || !strings.Contains(string(text), "trusted: []") {
		t.Errorf("not closed:\n%s", text)
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	p := plan(t)
	if err := Write(p); err != nil {
		t.Fatal(err)
	}
	if err := Write(p); !errors.Is(err, ErrExists) {
		t.Errorf("a second time: %v", err)
	}
}
