package smtptest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
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
`

// Exim runs one that sends to relay, host:port, by CHUNKING where that offers
// it. It refuses no@them.example. Debian's package conflicts with that of
// Postfix, so a copy of its files will do, with the user Debian-exim.
func Exim(t testing.TB, relay string) *Server {
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
	write(t, conf, eximConf, dir, port, host, to, program)
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
