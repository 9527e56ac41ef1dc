package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quorumta/cmd/quorumta/authority"
	"quorumta/cmd/quorumta/enroll"
	"quorumta/internal/config"
)

// admitted is what a cluster of the plan's nodes says to n4.
func admitted(t *testing.T, p Plan, address string) joined {
	t.Helper()
	host := filepath.Join(p.Dir, "n1")
	f, err := config.Load(filepath.Join(host, configFile), "")
	if err != nil {
		t.Fatal(err)
	}
	shared, err := f.Shared()
	if err != nil {
		t.Fatal(err)
	}
	ca, err := authority.Load(filepath.Join(host, "ca.pem"), filepath.Join(host, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := authority.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Sign(&key.PublicKey, "n4", []string{"n4"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]string{"n4": address}
	for name, a := range f.Cluster.Members {
		members[name] = a
	}
	return joined{
		Dir: p.Dir, Address: address, Incarnation: NewIncarnation(), Key: key, Now: time.Now(),
		Answer: &enroll.Answer{
			Cluster: "c1", Name: "n4", CA: string(ca.PEM()), Certificate: string(cert), Members: members,
			Pattern: &enroll.Pattern{
				Domain: "example.com", Heartbeat: "2s", LogKeep: "2GB", Shared: string(shared),
				Listeners: []enroll.Listener{{Name: "mx", Address: f.Listeners[0].Address, TLS: "offer"}, {Name: "sub", Address: ":587"}},
			},
		},
	}
}

func TestJoinedNodeIsConfiguredAsTheOthers(t *testing.T) {
	for address, want := range map[string][2]string{
		"127.0.0.1:7904": {"127.0.0.1:8004", "127.0.0.1:8104"},
		"10.0.0.4:7900":  {"10.0.0.4:8001", "10.0.0.4:7980"},
	} {
		p := plan(t)
		if err := Write(p); err != nil {
			t.Fatal(err)
		}
		j := admitted(t, p, address)
		path, err := j.write()
		if err != nil {
			t.Fatal(err)
		}
		f, err := config.Load(path, "")
		if err != nil {
			text, _ := os.ReadFile(path)
			t.Fatalf("%v in\n%s", err, text)
		}
		if f.Node != "n4" || f.Hostname != "n4.example.com" || time.Duration(f.Cluster.Heartbeat) != 2*time.Second || f.Cluster.LogKeep != 2e9 || len(f.Cluster.Members) != 4 {
			t.Errorf("%+v", f)
		}
		if f.Listeners[0].Address != want[0] || f.Admin.Listen != want[1] || f.Cluster.Listen != address || f.Routers[0].Name != "smarthost" {
			t.Errorf("at %s: listeners %+v, admin %s", address, f.Listeners, f.Admin.Listen)
		}
		first, err := ReadFirstStart(filepath.Dir(path), "n4")
		if err != nil || !first.Joining || first.Cluster != "c1" || first.Incarnations["n4"] != j.Incarnation || first.Members["n2"] == "" {
			t.Errorf("%+v, %v", first, err)
		}
		if _, err := j.write(); !errors.Is(err, ErrExists) {
			t.Errorf("a second time: %v", err)
		}
	}
}

func TestTooLongAConfigurationIsSaidToBeMissing(t *testing.T) {
	p := plan(t)
	if err := Write(p); err != nil {
		t.Fatal(err)
	}
	j := admitted(t, p, "10.0.0.4:7900")
	j.Answer.Pattern.Shared = ""
	path, err := j.write()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "from another node") {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := config.Load(path, ""); err == nil || !strings.Contains(err.Error(), "postmaster is missing") {
		t.Errorf("it loads: %v", err)
	}
}
