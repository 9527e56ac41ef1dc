package smtptest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Domain is what the servers take mail for, into their mailbox.
const Domain = "them.example"

// patience is how long a test waits for what another program does.
const patience = 60 * time.Second

// Server is a mail server that runs until the test ends.
type Server struct {
	// Address is where it receives mail, host:port.
	Address string
	inbox   string
}

// Arrivals waits for n messages in the mailbox and returns all that are there,
// in no order, with LF for line ends.
func (s *Server) Arrivals(t testing.TB, n int) []string {
	t.Helper()
	var contents []string
	wait(t, fmt.Sprintf("%d messages in the mailbox", n), func() bool {
		files, _ := filepath.Glob(filepath.Join(s.inbox, "*"))
		if len(files) < n {
			return false
		}
		contents = nil
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				return false
			}
			contents = append(contents, string(b))
		}
		return true
	})
	return contents
}

// Body is a message without its header; both have LF for line ends.
func Body(content string) string {
	_, body, _ := strings.Cut(content, "\n\n")
	return body
}

// need is where a program stands. It skips the test where the Debian package
// or root is missing, and fails it in CI, which has all of them.
func need(t testing.TB, program, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil && os.Getuid() == 0 {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("needs root and %s of the Debian package %s", program, pkg)
	}
	t.Skipf("needs root and %s of the Debian package %s", program, pkg)
	return ""
}

// start runs a program in the foreground until the test ends; end, if not nil,
// ends it.
func start(t testing.TB, log string, end func(), name string, args ...string) {
	t.Helper()
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if end != nil {
			end()
		}
		_ = cmd.Process.Signal(os.Interrupt)
		over := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		over.Stop()
		_ = out.Close()
		if t.Failed() {
			said, _ := os.ReadFile(log)
			t.Logf("%s said:\n%s", name, said)
		}
	})
}

// room makes a folder that the server's own users can reach, with folders in
// it.
func room(t testing.TB, folders ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "smtptest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if err := os.MkdirAll(filepath.Join(dir, f), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func write(t testing.TB, path, format string, args ...any) {
	t.Helper()
	if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o644); err != nil {
		t.Fatal(err)
	}
}

// freePort is a port of 127.0.0.1 that nobody listens on.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// awaitGreeting waits until a server speaks.
func awaitGreeting(t testing.TB, address string) {
	t.Helper()
	wait(t, "the greeting of "+address, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return false
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		code := make([]byte, 4)
		_, err = io.ReadFull(conn, code)
		_, _ = io.WriteString(conn, "QUIT\r\n")
		return err == nil && string(code) == "220 "
	})
}

// wait asks until the answer is yes.
func wait(t testing.TB, what string, yes func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-deadline:
			t.Fatalf("%s did not come", what)
		case <-tick.C:
		}
	}
}

// answers reports whether somebody listens at a socket.
func answers(t testing.TB, socket string) bool {
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", socket)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// Pair writes a certificate for a name that is its own root, and its key, both
// in PEM, where the servers can read them.
func Pair(t testing.TB, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := room(t)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, "%s", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, key, "%s", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}))
	return cert, key
}
