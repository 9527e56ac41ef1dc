package smtptest

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const postfixMain = `
compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
multi_instance_enable = no
myhostname = them.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
relayhost = %[2]s
disable_dns_lookups = yes
smtp_tls_security_level = may
smtpd_peername_lookup = no
smtpd_recipient_restrictions = check_recipient_access inline:{no@them.example=REJECT}, permit_mynetworks, reject
smtpd_client_connection_rate_limit = 0
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 1000
virtual_mailbox_domains = them.example
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = static:inbox/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
message_size_limit = 20000000
`

const postfixMaster = `
127.0.0.1:%[1]d inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
scache unix - - n - 1 scache
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`

// Postfix runs one that sends to relay, host:port; "" where it need not. It
// refuses no@them.example. Lines of settings win over those that it has.
func Postfix(t testing.TB, relay string, settings ...string) *Server {
	t.Helper()
	need(t, "postfix", "postfix")
	dir := room(t, "etc", "queue", "data", "mail")
	for owner, folder := range map[string]string{"nobody": "mail", "postfix": "data"} {
		if out, err := exec.Command("chown", owner, filepath.Join(dir, folder)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if host, port, err := net.SplitHostPort(relay); err == nil {
		relay = "[" + host + "]:" + port
	}
	port, conf := freePort(t), filepath.Join(dir, "etc")
	write(t, filepath.Join(conf, "main.cf"), postfixMain+"%[3]s\n", dir, relay, strings.Join(settings, "\n"))
	write(t, filepath.Join(conf, "master.cf"), postfixMaster, port)
	stop := func() { _ = exec.Command("postfix", "-c", conf, "stop").Run() }
	start(t, filepath.Join(dir, "said"), stop, "postfix", "-c", conf, "start-fg")
	s := &Server{Address: fmt.Sprintf("127.0.0.1:%d", port), inbox: filepath.Join(dir, "mail/inbox/new")}
	awaitGreeting(t, s.Address)
	return s
}
