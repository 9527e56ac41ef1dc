package egress

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// system is TCP as it is.
func system(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", to.String())
}

// host is a server that tells who connects to it, as it sees it: by its socket,
// or by a PROXY header where it reads those.
func host(t *testing.T, network, address string, proxied bool) netip.AddrPort {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if proxied {
		l = &proxyproto.Listener{Listener: l, ConnPolicy: func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			return proxyproto.REQUIRE, nil
		}}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(nc, "220 %s\r\n", nc.RemoteAddr())
			_ = nc.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// seen connects and returns the address that the host sees.
func seen(t *testing.T, w *Way, to netip.AddrPort) (netip.Addr, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	nc, err := w.Dial(ctx, to, system)
	if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	line, err := bufio.NewReader(nc).ReadString('\n')
	if err != nil {
		return netip.Addr{}, err
	}
	ap, err := netip.ParseAddrPort(strings.TrimSpace(strings.TrimPrefix(line, "220 ")))
	if err != nil {
		t.Fatal(err)
	}
	return ap.Addr(), nil
}

func see(t *testing.T, w *Way, to netip.AddrPort, want string) {
	t.Helper()
	if got, err := seen(t, w, to); err != nil || got != addr(want) {
		t.Errorf("it sees %v, %v, want %s", got, err, want)
	}
}

func TestSource(t *testing.T) {
	to := host(t, "tcp4", "127.0.0.1:0", false)
	see(t, nil, to, "127.0.0.1")
	see(t, &Way{Settings: &Settings{}, From4: addr("127.0.0.7"), From6: addr("::1")}, to, "127.0.0.7")
	see(t, &Way{Settings: &Settings{Silent: true}}, to, "127.0.0.1")
	if _, err := seen(t, &Way{Settings: &Settings{}, From4: addr("192.0.2.77")}, to); err == nil {
		t.Error("connected from an address that is not ours")
	}
}

// run starts a program of a Debian package until the test ends, and waits until
// it listens.
func run(t *testing.T, listens netip.AddrPort, pkg, program string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("needs %s of the Debian package %s", program, pkg)
		}
		t.Skipf("needs %s of the Debian package %s", program, pkg)
	}
	cmd := exec.Command(path, args...)
	out := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", program, out)
		}
	})
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if nc, err := system(t.Context(), listens); err == nil {
			_ = nc.Close()
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s does not listen", program)
		case <-tick.C:
		}
	}
}

func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMicrosocks: with a login, by weights, and past servers that do not answer.
func TestMicrosocks(t *testing.T) {
	server := freePort(t)
	run(t, server, "microsocks", "microsocks", "-i", "127.0.0.1", "-p", fmt.Sprint(server.Port()), "-u", "me", "-P", "geheim", "-b", "127.0.0.5")
	to := host(t, "tcp4", "127.0.0.1:0", false)
	password := file(t, "password", "geheim\n")
	good := Socks{Server: server, User: "me", PasswordFile: password}
	see(t, &Way{Settings: &Settings{Socks: []Socks{good}}}, to, "127.0.0.5")
	dead := Socks{Server: freePort(t), Weight: 1000}
	see(t, &Way{Settings: &Settings{Socks: []Socks{dead, good}}}, to, "127.0.0.5")
	for want, s := range map[string]Socks{
		"another login": {Server: server},
		"refuses our":   {Server: server, User: "me", PasswordFile: file(t, "wrong", "falsch\n")},
		"no such file":  {Server: server, User: "me", PasswordFile: "/nonexistent"},
	} {
		_, err := seen(t, &Way{Settings: &Settings{Socks: []Socks{s}}}, to)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := seen(t, &Way{Settings: &Settings{Socks: []Socks{good}}}, freePort(t)); err == nil || !strings.Contains(err.Error(), "SOCKS server") {
		t.Errorf("a host that refuses: %v", err)
	}
}

const danteConf = `
logoutput: stderr
internal: 127.0.0.1 port = %d
external: 127.0.0.1
socksmethod: none
clientmethod: none
client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
socks block { from: 0.0.0.0/0 to: 127.0.0.1/32 port = %d }
socks pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }
`

// TestDante: a second SOCKS server, with rules of its own, reached from a source
// address.
func TestDante(t *testing.T) {
	server, forbidden := freePort(t), host(t, "tcp4", "127.0.0.1:0", false)
	run(t, server, "dante-server", "danted", "-f", file(t, "danted.conf", fmt.Sprintf(danteConf, server.Port(), forbidden.Port())))
	w := &Way{Settings: &Settings{Socks: []Socks{{Server: server}}}, From4: addr("127.0.0.8")}
	see(t, w, host(t, "tcp4", "127.0.0.1:0", false), "127.0.0.1")
	if _, err := seen(t, w, forbidden); err == nil || !strings.Contains(err.Error(), "not allowed by its rules") {
		t.Errorf("what its rules forbid: %v", err)
	}
}

const haproxyConf = `
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
listen in
  bind 127.0.0.1:%d accept-proxy
  server s 127.0.0.1:%d send-proxy-v2
listen out
  bind 127.0.0.1:%d accept-proxy
  server s 0.0.0.0:0 send-proxy
`

// TestHAProxy: as the host, which reads our header and passes it on, and as the
// one that connects in our place to the host that the header names.
func TestHAProxy(t *testing.T) {
	to := host(t, "tcp4", "127.0.0.1:0", true)
	in, out := freePort(t), freePort(t)
	run(t, in, "haproxy", "haproxy", "-db", "-f", file(t, "haproxy.cfg", fmt.Sprintf(haproxyConf, in.Port(), to.Port(), out.Port())))
	for version := 1; version <= 2; version++ {
		host := &Way{Settings: &Settings{Proxy: Proxy{Version: version}}, From4: addr("127.0.0.6")}
		see(t, host, in, "127.0.0.6")
		server := &Way{Settings: &Settings{Proxy: Proxy{Version: version, Server: out}}, From4: addr("192.0.2.44")}
		see(t, server, to, "192.0.2.44")
	}
	six := &Way{Settings: &Settings{Proxy: Proxy{Version: 2, Server: out}}}
	if _, err := seen(t, six, netip.MustParseAddrPort("[2001:db8::1]:25")); err == nil || !strings.Contains(err.Error(), "no source address of the family") {
		t.Errorf("%v", err)
	}
}

// TestSocksServersThatLie: whatever a server says, the dial ends, with an error.
func TestSocksServersThatLie(t *testing.T) {
	for name, says := range map[string]string{
		"HTTP": "HTTP/1.1 400 Bad Request\r\n", "closes": "", "half": "\x05", "another version": "\x05\x00\x04\x00\x00\x01",
		"unknown failure": "\x05\x00\x05\x63\x00\x01", "cut off": "\x05\x00\x05\x00\x00\x01\x01",
	} {
		client, server := net.Pipe()
		go func() {
			go func() { _, _ = io.Copy(io.Discard, server) }()
			_, _ = io.WriteString(server, says)
			_ = server.Close()
		}()
		s := Socks{}
		if err := s.connect(client, netip.MustParseAddrPort("192.0.2.1:25")); err == nil {
			t.Errorf("%s: no error", name)
		}
		_ = client.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	client, server := net.Pipe()
	defer func() { _ = server.Close() }()
	cancel()
	s := Socks{}
	if err := bounded(ctx, client, func() error { return s.connect(client, netip.MustParseAddrPort("192.0.2.1:25")) }); err == nil {
		t.Error("a silent server holds us for ever")
	}
}
