package site

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"quorumta/delivery/egress"
	"quorumta/delivery/route"
	"quorumta/delivery/smtpc"
	"quorumta/internal/policy"
	"quorumta/queue/event"
)

// by is the site of a target that mail leaves for as the settings say.
func by(t *testing.T, set *Set, s egress.Settings, x route.Target) *Site {
	t.Helper()
	set.SetTransports(map[string]Transport{"out": {SMTP: set.o.SMTP, Egress: &s}})
	x.Transport = "out"
	x, err := set.Leaving(x, &policy.Facts{}, "m1")
	if err != nil {
		t.Fatal(err)
	}
	return set.Site(x)
}

// TestPreferredFamily: the other one is tried after all of the preferred one
// have failed, and not beside them.
func TestPreferredFamily(t *testing.T) {
	for family, want := range map[egress.Family][]string{
		egress.Family4:       {"192.0.2.1", "192.0.2.2"},
		egress.Family6:       {"2001:db8::1"},
		egress.FamilyPrefer4: {"192.0.2.1", "192.0.2.2", "2001:db8::1"},
		egress.FamilyPrefer6: {"2001:db8::1", "192.0.2.1", "192.0.2.2"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := &network{hosts: map[string]func(net.Conn){}}
			s := by(t, newSet(n), egress.Settings{Family: family},
				target(route.TLSOff, host("a", "192.0.2.1", 0), host("a", "2001:db8::1", 0), host("a", "192.0.2.2", 0)))
			if _, failure := s.Connect(t.Context(), nil); failure == nil || failure.Kind != event.ErrorConnectTimeout {
				t.Errorf("%s: %+v", family, failure)
			}
			if !slices.Equal(n.dialled, want) {
				t.Errorf("%s: dialled %v", family, n.dialled)
			}
			if strings.HasPrefix(string(family), "prefer") && n.at[len(n.at)-1].Sub(n.at[0]) < 30*time.Second {
				t.Errorf("%s: the other family was tried after %v", family, n.at[len(n.at)-1].Sub(n.at[0]))
			}
		})
	}
	n := &network{hosts: map[string]func(net.Conn){"192.0.2.1": healthy()}}
	s := by(t, newSet(n), egress.Settings{Family: egress.Family6}, target(route.TLSOff, host("a", "192.0.2.1", 0)))
	if _, failure := s.Connect(t.Context(), nil); failure == nil || failure.Reply.Enhanced != "4.3.5" || len(n.dialled) > 0 {
		t.Errorf("%+v", failure)
	}
}

// asks is a server that wants a login, and keeps what is said to it.
func asks(cfg *tls.Config, said chan<- string, answers ...string) func(net.Conn) {
	return func(c net.Conn) {
		defer func() { _ = c.Close() }()
		if cfg != nil {
			c = tls.Server(c, cfg)
		}
		_, _ = io.WriteString(c, "220 hi\r\n")
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			line = strings.TrimSpace(line)
			select {
			case said <- line:
			default:
			}
			switch {
			case strings.HasPrefix(line, "EHLO"):
				_, _ = io.WriteString(c, "250-them\r\n250 AUTH PLAIN\r\n")
			case strings.HasPrefix(line, "AUTH"):
				_, _ = io.WriteString(c, answers[0]+"\r\n")
			default:
				_, _ = io.WriteString(c, "221 bye\r\n")
				return
			}
		}
	}
}

func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLogins: over verified TLS only, unless told; a login that fails is the
// site's failure, with a clear text and without the password.
func TestLogins(t *testing.T) {
	cfg, pool := authority(t, "them.example")
	password := secretFile(t, "geheim\n")
	for name, c := range map[string]struct {
		mode   route.TLSMode
		over   egress.Trust
		file   string
		answer string
		want   string // in the failure; "" where it works
		asked  bool
	}{
		"verified":        {mode: route.TLSVerify, answer: "235 in", asked: true},
		"unverified":      {mode: route.TLSRequire, want: "was not verified"},
		"unverified, but": {mode: route.TLSRequire, over: egress.OverTLS, answer: "235 in", asked: true},
		"in the clear":    {mode: route.TLSOff, over: egress.OverTLS, want: "is in the clear"},
		"clear, but":      {mode: route.TLSOff, over: egress.OverClear, answer: "235 in", asked: true},
		"refused":         {mode: route.TLSVerify, answer: "535 5.7.8 no such AG1lAGdlaGVpbQ==", want: "login as me: no such …", asked: true},
		"unreadable":      {mode: route.TLSVerify, file: "/nonexistent", want: "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			said := make(chan string, 16)
			server, port := cfg, uint16(465)
			if c.mode == route.TLSOff {
				server, port = nil, 25
			}
			n := &network{hosts: map[string]func(net.Conn){"192.0.2.1": asks(server, said, c.answer)}}
			set := New(Options{SMTP: smtpc.Options{Hostname: "us.example"}, Dial: n.dial, TLS: &tls.Config{RootCAs: pool}})
			file := password
			if c.file != "" {
				file = c.file
			}
			h := host("them.example", "192.0.2.1", 0)
			h.Port = port
			s := by(t, set, egress.Settings{Logins: []egress.Login{{User: "me", PasswordFile: file, Over: c.over}}}, target(c.mode, h))
			conn, failure := s.Connect(t.Context(), nil)
			if c.want == "" {
				if failure != nil {
					t.Fatalf("%+v", failure)
				}
				conn.Leave(t.Context())
			} else if failure == nil || failure.Kind != event.ErrorAuth || !strings.Contains(failure.Reply.Text, c.want) || strings.Contains(failure.Reply.Text, "geheim") {
				t.Errorf("%+v", failure)
			}
			asked := false
			for len(said) > 0 {
				asked = strings.HasPrefix(<-said, "AUTH") || asked
			}
			if asked != c.asked {
				t.Errorf("AUTH said: %v", asked)
			}
		})
	}
}

// TestWaysAreSites: what leaves as another is another site, with limits and bad
// experiences of its own, and says another name.
func TestWaysAreSites(t *testing.T) {
	env, err := policy.NewEnv(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	helo, err := env.Text("client.name")
	if err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 16)
	n := &network{hosts: map[string]func(net.Conn){"192.0.2.1": asks(nil, said)}}
	set := newSet(n)
	set.SetTransports(map[string]Transport{"out": {SMTP: set.o.SMTP, Egress: &egress.Settings{Helo: helo, Limits: egress.Limits{Messages: 7, Recipients: 3}}}})
	x := target(route.TLSOff, host("a", "192.0.2.1", 0))
	x.Transport = "out"
	sites := map[*Site]bool{}
	for _, name := range []string{"one.example", "two.example", "one.example", ""} {
		leaving, err := set.Leaving(x, &policy.Facts{ClientName: name}, "m1")
		if err != nil {
			t.Fatal(err)
		}
		s := set.Site(leaving)
		sites[s] = true
		conn, failure := s.Connect(t.Context(), nil)
		if failure != nil {
			t.Fatal(failure)
		}
		if p := conn.Peer(); p.Messages != 7 || p.Recipients != 3 {
			t.Errorf("%+v", p)
		}
		if name == "" {
			name = "us.example"
		}
		if got := <-said; got != "EHLO "+name {
			t.Errorf("said %q as %q", got, name)
		}
		conn.Leave(t.Context())
		<-said // QUIT
	}
	if len(sites) != 3 {
		t.Errorf("%d sites", len(sites))
	}
	for s := range sites {
		c := call{Site: s, target: s.target}
		if strings.Contains(s.Key(), "one.example") {
			set.health.failed(c.at(x.Hosts[0]))
		}
	}
	for s := range sites {
		c := call{Site: s, target: s.target}
		if dead := set.health.dead(c.at(x.Hosts[0])); dead != strings.Contains(s.Key(), "one.example") {
			t.Errorf("%q: dead %v", s.Key(), dead)
		}
	}
	if _, err := set.Leaving(x, &policy.Facts{ClientName: "no name"}, "m1"); err == nil || !strings.Contains(err.Error(), "transport out: helo") {
		t.Errorf("%v", err)
	}
}

// TestClientCertificate: shown to whoever asks; what cannot be read keeps mail
// from leaving, in the clear as well.
func TestClientCertificate(t *testing.T) {
	server, _ := authority(t, "them.example")
	client, clients := authority(t, "us.example")
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, clients
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	pair := client.Certificates[0]
	write := func(path, kind string, der []byte) {
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(cert, "CERTIFICATE", pair.Certificate[0])
	write(key, "PRIVATE KEY", pkcs8(t, pair.PrivateKey))
	root := filepath.Join(dir, "root")
	write(root, "CERTIFICATE", server.Certificates[0].Certificate[0])
	for name, c := range map[string]struct {
		tls   egress.TLS
		kind  event.ErrorKind
		works bool
	}{
		"shown":        {egress.TLS{Cert: cert, Key: key, CA: root}, 0, true},
		"none":         {egress.TLS{CA: root}, event.ErrorTLS, false},
		"not readable": {egress.TLS{Cert: "/nonexistent", Key: key, CA: root}, event.ErrorRouting, false},
		"no roots":     {egress.TLS{Cert: cert, Key: key}, event.ErrorTLS, false},
		"roots gone":   {egress.TLS{CA: "/nonexistent"}, event.ErrorRouting, false},
		"TLS 1.3 only": {egress.TLS{Cert: cert, Key: key, CA: root, Min: tls.VersionTLS13}, event.ErrorTLS, false},
		"a cipher suite": {egress.TLS{Cert: cert, Key: key, CA: root, Ciphers: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}},
			event.ErrorTLS, false}, // the server's key is no RSA key
	} {
		t.Run(name, func(t *testing.T) {
			cfg := server.Clone()
			cfg.MaxVersion = tls.VersionTLS12
			n := &network{hosts: map[string]func(net.Conn){"192.0.2.1": secret(cfg, false)}}
			set := New(Options{SMTP: smtpc.Options{Hostname: "us.example"}, Dial: n.dial})
			s := by(t, set, egress.Settings{TLS: c.tls}, target(route.TLSVerify, host("them.example", "192.0.2.1", 0)))
			conn, failure := s.Connect(t.Context(), nil)
			if c.works {
				if failure != nil {
					t.Fatalf("%+v", failure)
				}
				conn.Leave(t.Context())
				return
			}
			if failure == nil || failure.Kind != c.kind {
				t.Errorf("%+v", failure)
			}
		})
	}
}

// TestConnectFailures: refused is another thing than silent.
func TestConnectFailures(t *testing.T) {
	dial := func(context.Context, netip.AddrPort) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	set := New(Options{SMTP: smtpc.Options{Hostname: "us.example"}, Dial: dial})
	_, failure := set.Site(target(route.TLSOff, host("a", "192.0.2.1", 0))).Connect(t.Context(), nil)
	if failure == nil || failure.Kind != event.ErrorRefused {
		t.Errorf("%+v", failure)
	}
}
