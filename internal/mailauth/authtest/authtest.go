// Package authtest runs other people's programs that verify signatures, in a
// network of their own whose DNS the test answers: they know no way but port 53
// of what resolv.conf names.
package authtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// variable names the file that tells a child what to do.
const variable = "QUORUMTA_AUTHTEST"

// task is what a child does.
type task struct {
	// TXT are the records by lower-case name without its last dot.
	TXT     map[string]string
	Command []string
}

// Main is TestMain of a package that uses Run: the test's program is run again
// as the child.
func Main(m *testing.M) {
	if path := os.Getenv(variable); path != "" {
		if err := child(path); err != nil {
			fmt.Fprintln(os.Stderr, "authtest:", err)
			os.Exit(99)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Run gives a message to a program of a Debian package, and TXT records to its
// DNS. It returns what the program printed, and its error where it did not end
// with status 0.
func Run(t testing.TB, txt map[string]string, message []byte, debian string, command ...string) (string, error) {
	t.Helper()
	for program, from := range map[string]string{command[0]: debian, "unshare": "util-linux", "ip": "iproute2"} {
		if _, err := exec.LookPath(program); err != nil {
			absent(t, fmt.Sprintf("needs %s of the Debian package %s", program, from))
		}
	}
	if os.Geteuid() != 0 {
		absent(t, "needs root, for a network of its own")
	}
	dir := t.TempDir()
	text, err := json.Marshal(task{txt, command})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "task")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--net", "--mount", os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+path)
	cmd.Stdin = bytes.NewReader(message)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 99 {
		t.Fatalf("%s", out)
	}
	return strings.TrimSpace(string(out)), err
}

func absent(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// child answers DNS and becomes the parent of the program.
func child(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var what task
	if err := json.Unmarshal(text, &what); err != nil {
		return err
	}
	resolv := path + ".resolv"
	if err := os.WriteFile(resolv, []byte("nameserver 127.0.0.1\n"), 0o600); err != nil {
		return err
	}
	if err := unix.Mount(resolv, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("put resolv.conf in place: %w", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := answer(what.TXT); err != nil {
		return err
	}
	cmd := exec.Command(what.Command[0], what.Command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		os.Exit(max(1, exit.ExitCode()))
	} else if err != nil {
		return err
	}
	return nil
}

// answer serves the records until the process ends.
func answer(txt map[string]string) error {
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg)
		r.SetReply(q)
		name := strings.ToLower(strings.TrimSuffix(q.Question[0].Name, "."))
		value, ok := txt[name]
		switch {
		case !ok:
			r.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeTXT:
			record := &dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 60}}
			for ; len(value) > 255; value = value[255:] {
				record.Txt = append(record.Txt, value[:255])
			}
			record.Txt = append(record.Txt, value)
			r.Answer = append(r.Answer, record)
		}
		_ = w.WriteMsg(r)
	})
	packets, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:53")
	if err != nil {
		return err
	}
	go func() { _ = (&dns.Server{PacketConn: packets, Handler: handler}).ActivateAndServe() }()
	go func() { _ = (&dns.Server{Listener: listener, Handler: handler}).ActivateAndServe() }()
	return nil
}
