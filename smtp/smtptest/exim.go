package smtptest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
)

const eximConf = `
exim_path = %[5]s
primary_hostname = them.example
spool_directory = %[1]s/spool
log_file_path = %[1]s/log/%%slog
pid_file_path = %[1]s/pid
daemon_smtp_ports = %[2]d
local_interfaces = 127.0.0.1
keep_environment =
host_lookup =
dns_ipv4_lookup = *
tls_advertise_hosts =
chunking_advertise_hosts = *
dsn_advertise_hosts = *
acl_smtp_rcpt = to
acl_smtp_data = accept
never_users =
%[6]s

begin acl
to:
  deny recipients = no@them.example
  accept

begin routers
here:
  driver = accept
  domains = them.example
  transport = mailbox
on:
  driver = manualroute
  route_list = * %[3]s byname
  self = send
  transport = remote

begin transports
mailbox:
  driver = appendfile
  maildir_format
  create_directory
  directory = %[1]s/mail
  user = Debian-exim
  group = Debian-exim
remote:
  driver = smtp
  port = %[4]s
  hosts_try_chunking = *
  hosts_avoid_pipelining =

begin retry
* * F,1h,1s

begin authenticators
%[7]s
`

// without is a configuration without the settings that others set: Exim takes
// each but once.
func without(conf, others string) string {
	for line := range strings.Lines(others) {
		name, _, _ := strings.Cut(line, " =")
		if before, rest, ok := strings.Cut(conf, "\n"+name+" ="); ok && name != "" {
			_, after, _ := strings.Cut(rest, "\n")
			conf = before + "\n" + after
		}
	}
	return conf
}

// Exim runs one that sends to relay, host:port, by CHUNKING where that offers
// it. It refuses no@them.example. Debian's package conflicts with that of
// Postfix, so a copy of its files will do, with the user Debian-exim. Of more,
// the first are settings, which win over those that it has, the second its
// authenticators.
func Exim(t testing.TB, relay string, more ...string) *Server {
	t.Helper()
	program := need(t, "exim4", "exim4-daemon-light")
	if _, err := user.Lookup("Debian-exim"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs the user Debian-exim of the Debian package exim4-base")
	}
	dir := room(t, "spool", "log", "mail")
	for _, folder := range []string{"spool", "log", "mail"} {
		if out, err := exec.Command("chown", "Debian-exim:Debian-exim", filepath.Join(dir, folder)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	host, to := "127.0.0.1", "25"
	if relay != "" {
		host, to, _ = net.SplitHostPort(relay)
	}
	port, conf := freePort(t), filepath.Join(dir, "exim.conf")
	more = append(more, "", "")
	write(t, conf, without(eximConf, more[0]), dir, port, host, to, program, more[0], more[1])
	start(t, filepath.Join(dir, "said"), nil, program, "-C", conf, "-bdf", "-q1s")
	t.Cleanup(func() {
		if t.Failed() {
			for _, name := range []string{"mainlog", "paniclog"} {
				said, _ := os.ReadFile(filepath.Join(dir, "log", name))
				t.Logf("exim's %s:\n%s", name, said)
			}
		}
	})
	s := &Server{Address: fmt.Sprintf("127.0.0.1:%d", port), inbox: filepath.Join(dir, "mail/new")}
	awaitGreeting(t, s.Address)
	return s
}
