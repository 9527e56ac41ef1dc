// Package dnstest starts real name servers for tests: knot with zones that are
// signed, and an unbound that validates them.
package dnstest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// State is how a zone is signed.
type State uint8

// The states. All zones stand below example, which is signed and trusted.
const (
	// Signed: secure.
	Signed State = 0
	// Unsigned: example says that it is not signed; insecure.
	Unsigned State = 1
	// Expired: its signatures are out of date; bogus.
	Expired State = 2
	// Broken: example vouches for another key; bogus.
	Broken State = 3
)

// Zone is served as NAME.example.
type Zone struct {
	Name  string
	State State
	// Records are lines of a master file, relative to the zone.
	Records string
}

// Servers are name servers that run.
type Servers struct {
	// Resolver validates; it listens on a loopback address.
	Resolver netip.AddrPort
	dir      string
}

// Start starts the servers for as long as the test runs. It skips the test
// where a program is missing, or fails it where CI is true.
func Start(t testing.TB, zones ...Zone) *Servers {
	t.Helper()
	Need(t, "knotd", "knot")
	Need(t, "unbound", "unbound")
	Need(t, "ldns-signzone", "ldnsutils")
	s := &Servers{dir: t.TempDir()}
	// Resolvers of C libraries ask port 53 only, which takes an address that
	// nobody else has.
	var n [2]byte
	_, _ = rand.Read(n[:])
	port := uint16(53)
	if os.Geteuid() != 0 {
		port = free(t)
	}
	s.Resolver = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 53, n[0], n[1] | 1}), port)
	source := free(t)
	delegations := ""
	for _, z := range zones {
		delegations += s.sign(t, z)
	}
	s.sign(t, Zone{Records: delegations})
	s.serve(t, zones, source)
	s.resolve(t, zones, source)
	return s
}

// Need skips the test where a program is missing, or fails it where CI is true.
func Need(t testing.TB, program, debian string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("there is no %s: install Debian's %s", program, debian)
	}
	t.Skipf("there is no %s: install Debian's %s", program, debian)
}

// Command is a program for which the resolver is that of the machine. It takes
// root: the program gets a resolv.conf of its own in a name space for mounts.
func (s *Servers) Command(ctx context.Context, t testing.TB, program string, args ...string) *exec.Cmd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a program another resolv.conf")
	}
	conf := filepath.Join(s.dir, "resolv.conf")
	s.write(t, "resolv.conf", "nameserver "+s.Resolver.Addr().String()+"\noptions trust-ad\n")
	script := `mount --bind "$0" /etc/resolv.conf && exec "$@"`
	return exec.CommandContext(ctx, "unshare", append([]string{"-m", "sh", "-c", script, conf, program}, args...)...)
}

func (z Zone) domain() string {
	if z.Name == "" {
		return "example"
	}
	return z.Name + ".example"
}

// sign writes a zone's file and returns what example says of it.
func (s *Servers) sign(t testing.TB, z Zone) string {
	t.Helper()
	domain := z.domain()
	text := "$ORIGIN " + domain + ".\n$TTL 300\n@ SOA ns admin 1 3600 900 86400 60\n@ NS ns\nns A 127.0.0.1\n" + z.Records + "\n"
	delegation := z.Name + " NS ns." + domain + ".\nns." + domain + ". A 127.0.0.1\n"
	if z.State == Unsigned {
		s.write(t, domain+".signed", text)
		return delegation
	}
	s.write(t, domain, text)
	key := strings.TrimSpace(s.run(t, "ldns-keygen", "-a", "ECDSAP256SHA256", "-k", domain))
	sign := []string{"-f", domain + ".signed", domain, key}
	if z.State == Expired {
		sign = append([]string{"-i", "20200101", "-e", "20200201"}, sign...)
	}
	s.run(t, "ldns-signzone", sign...)
	ds, err := os.ReadFile(filepath.Join(s.dir, key+".ds"))
	if err != nil {
		t.Fatal(err)
	}
	anchor := strings.TrimSpace(string(ds))
	if z.State == Broken {
		digit := "0"
		if strings.HasSuffix(anchor, digit) {
			digit = "1"
		}
		anchor = anchor[:len(anchor)-1] + digit
	}
	if z.Name == "" {
		s.write(t, "anchor", anchor+"\n")
	}
	return delegation + anchor + "\n"
}

// serve starts knot, which answers from the zones.
func (s *Servers) serve(t testing.TB, zones []Zone, port uint16) {
	t.Helper()
	conf := fmt.Sprintf("server:\n  rundir: %q\n  listen: 127.0.0.1@%d\nlog:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: %[1]q\n"+
		"template:\n  - id: default\n    storage: %[1]q\n    zonefile-sync: -1\n    journal-content: none\nzone:\n", s.dir, port)
	for _, z := range append(zones, Zone{}) {
		conf += fmt.Sprintf("  - domain: %s\n    file: %[1]s.signed\n", z.domain())
	}
	s.write(t, "knot.conf", conf)
	s.start(t, "knotd", "-c", filepath.Join(s.dir, "knot.conf"))
	s.await(t, "knot", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
}

// resolve starts unbound, which asks knot and validates.
func (s *Servers) resolve(t testing.TB, zones []Zone, source uint16) {
	t.Helper()
	conf := fmt.Sprintf("server:\n  directory: %q\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  do-daemonize: no\n"+
		"  interface: %s\n  port: %d\n  do-ip6: no\n  do-not-query-localhost: no\n  num-threads: 1\n  module-config: \"validator iterator\"\n"+
		"  trust-anchor-file: \"anchor\"\n  val-log-level: 1\n  ede: yes\nremote-control:\n  control-enable: no\n", s.dir, s.Resolver.Addr(), s.Resolver.Port())
	for _, z := range append(zones, Zone{}) {
		conf += fmt.Sprintf("stub-zone:\n  name: %q\n  stub-addr: 127.0.0.1@%d\n", z.domain(), source)
	}
	// Nobody asks the world: knot refuses what it has no zone for.
	conf += fmt.Sprintf("stub-zone:\n  name: \".\"\n  stub-addr: 127.0.0.1@%d\n", source)
	s.write(t, "unbound.conf", conf)
	s.start(t, "unbound", "-d", "-p", "-c", filepath.Join(s.dir, "unbound.conf"))
	s.await(t, "unbound", s.Resolver)
}

// start runs a server until the test ends; what it said is shown if that fails.
func (s *Servers) start(t testing.TB, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.Dir = &said, &said, s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", program, said.String())
		}
	})
}

// await returns when a server answers.
func (s *Servers) await(t testing.TB, name string, addr netip.AddrPort) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	m := new(dns.Msg)
	m.SetQuestion("example.", dns.TypeSOA)
	client := dns.Client{Timeout: 200 * time.Millisecond}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		reply, _, err := client.ExchangeContext(ctx, m, addr.String())
		if err == nil && len(reply.Answer) > 0 {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("%s does not answer at %s: %v, %v", name, addr, reply, err)
		}
	}
}

func (s *Servers) run(t testing.TB, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (s *Servers) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// free is a port of 127.0.0.1 that nobody has.
func free(t testing.TB) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String()).Port()
}
