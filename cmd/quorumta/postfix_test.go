package main_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// postfix is one running Postfix with a configuration and a spool of its own.
type postfix struct {
	conf    string
	address string // its smtpd
	maildir string // what it delivers lies below, by recipient
}

// needProgram skips the test where a Debian package is not installed, and
// fails it in CI, which installs all of them.
func needProgram(t *testing.T, program, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: install the Debian package %s", program, pkg)
	}
	t.Skipf("%s is missing: install the Debian package %s", program, pkg)
}

const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = %[2]s
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = %[3]s
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtp_host_lookup = native
disable_dns_lookups = yes
smtp_tls_security_level = %[6]s
smtpd_tls_security_level = none
virtual_mailbox_domains = %[4]s
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = static:all/
virtual_minimum_uid = 1
virtual_uid_maps = static:%[5]s
virtual_gid_maps = static:%[5]s
local_recipient_maps =
alias_maps =
alias_database =
maillog_file = /dev/stdout
default_process_limit = 20
smtpd_client_connection_rate_limit = 0
multi_instance_enable = no
`

const postfixMaster = `127.0.0.1:%d inet n - n - - smtpd
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
`

// startPostfix runs a Postfix that takes mail for domain into maildirs and
// sends all other mail to relay, host:port. It ends with the test.
func startPostfix(t *testing.T, hostname, domain, relay, tls string) *postfix {
	t.Helper()
	needProgram(t, "postfix", "postfix")
	dir := t.TempDir()
	// Postfix's own users must be able to walk there.
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	for _, sub := range []string{"conf", "spool", "data", "mail"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, sub := range []string{"data", "mail"} {
		if err := os.Chown(filepath.Join(dir, sub), uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	if relay != "" {
		host, port, _ := net.SplitHostPort(relay)
		relay = "[" + host + "]:" + port
	}
	port := freePort(t)
	p := &postfix{conf: filepath.Join(dir, "conf"), address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), maildir: filepath.Join(dir, "mail")}
	writeFile(t, filepath.Join(p.conf, "main.cf"), fmt.Sprintf(postfixMain, dir, hostname, relay, domain, owner.Uid, tls))
	writeFile(t, filepath.Join(p.conf, "master.cf"), fmt.Sprintf(postfixMaster, port))

	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("postfix", "-c", p.conf, "start-fg")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("postfix", "-c", p.conf, "stop").Run()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("Postfix %s said:\n%s", hostname, text)
		}
	})
	waitFor(t, "Postfix's greeting", func(ctx context.Context) bool { return greets(ctx, p.address) })
	return p
}

// send hands a message to Postfix as a local program does.
func (p *postfix) send(t *testing.T, from, to, text string) {
	t.Helper()
	cmd := exec.Command("sendmail", "-C", p.conf, "-i", "-f", from, to)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("Postfix's sendmail: %v: %s", err, out)
	}
}

// received are the messages that were delivered so far.
func (p *postfix) received(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(p.maildir, "all", "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	return out
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// greets reports whether an SMTP server says 220.
func greets(ctx context.Context, address string) bool {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	line := make([]byte, 3)
	_, err = c.Read(line)
	return err == nil && string(line) == "220"
}

// waitFor asks until it is told yes; a minute is too long for anything.
func waitFor(t *testing.T, what string, yes func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
