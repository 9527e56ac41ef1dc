package smtpc

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quorumta/internal/mail"
)

const postfixMain = `
compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
myhostname = them.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
smtpd_recipient_restrictions = check_recipient_access inline:{no@them.example=REJECT}, permit_mynetworks, reject
smtpd_client_connection_rate_limit = 0
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
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`

// startPostfix runs a Postfix of its own and returns its address and the
// directory that mail for them.example arrives in.
func startPostfix(t *testing.T) (addr, inbox string) {
	t.Helper()
	if _, err := exec.LookPath("postfix"); err != nil || os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("the Debian package postfix is missing, or we are not root")
		}
		t.Skip("needs root and the Debian package postfix")
	}
	dir, err := os.MkdirTemp("", "postfix")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(dir, 0o755))
	for _, d := range []string{"etc", "queue", "data", "mail"} {
		must(os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	must(os.Chown(filepath.Join(dir, "mail"), 65534, 65534))
	must(exec.Command("chown", "postfix", filepath.Join(dir, "data")).Run())
	must(os.WriteFile(filepath.Join(dir, "etc/main.cf"), fmt.Appendf(nil, postfixMain, dir), 0o644))
	must(os.WriteFile(filepath.Join(dir, "etc/master.cf"), fmt.Appendf(nil, postfixMaster, port), 0o644))
	postfix := func(verb string) *exec.Cmd { return exec.Command("postfix", "-c", filepath.Join(dir, "etc"), verb) }
	if out, err := postfix("start").CombinedOutput(); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Fatalf("postfix start: %v\n%s\n%s", err, out, log)
	}
	t.Cleanup(func() { _ = postfix("stop").Run() })
	return fmt.Sprintf("127.0.0.1:%d", port), filepath.Join(dir, "mail/inbox/new")
}

// arrivals waits for n messages and returns their bodies.
func arrivals(t *testing.T, inbox string, n int) []string {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		files, _ := filepath.Glob(filepath.Join(inbox, "*"))
		if len(files) >= n {
			var bodies []string
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				_, body, _ := strings.Cut(string(b), "\n\n")
				bodies = append(bodies, body)
			}
			return bodies
		}
		select {
		case <-deadline:
			t.Fatalf("%d of %d messages arrived", len(files), n)
		case <-tick.C:
		}
	}
}

func TestPostfix(t *testing.T) {
	addr, inbox := startPostfix(t)
	ctx := context.Background()
	var nc net.Conn
	for i := 0; ; i++ {
		var err error
		if nc, err = net.Dial("tcp", addr); err == nil {
			break
		} else if i == 100 {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // between two tries to connect
	}
	c, err := Greet(ctx, nc, Options{Hostname: "us.example"})
	if err != nil {
		t.Fatal(err)
	}
	if e := c.Extensions(); !e.Pipelining || !e.DSN || !e.EightBit || !e.UTF8 || e.Size != 20000000 {
		t.Errorf("%+v", e)
	}
	bodies := []string{".\r\n..\r\n.x\r\nend\r\n", strings.Repeat("0123456789\r\n.\r\n", 300000), "ü\r\n"}
	for _, body := range bodies {
		m := message("Subject: test\r\n\r\n"+body, "a@them.example", "no@them.example")
		m.EightBit, m.UTF8 = true, true
		m.EnvID, m.Return = "envelope 1", mail.ReturnHeaders
		m.Recipients[0].Notify = mail.NotifyNever
		m.Recipients[1].Original = "rfc822;no+@them.example"
		res, err := c.Send(ctx, m)
		if err != nil || !res.Final.Positive() || res.Rcpts[1].Code != 554 {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	res, err := c.Send(ctx, message("x\r\n", "no@them.example"))
	if err != nil || res.Rcpts[0].Code != 554 || res.Dot {
		t.Fatalf("%+v, %v", res, err)
	}
	big := message("x\r\n", "a@them.example")
	big.Size = 20000001
	if res, err = c.Send(ctx, big); err != nil || res.Mail.Code != 552 {
		t.Fatalf("%+v, %v", res, err)
	}
	c.Quit(ctx)
	got := arrivals(t, inbox, len(bodies))
	for i, body := range bodies {
		want := strings.ReplaceAll(body, "\r\n", "\n")
		found := false
		for _, g := range got {
			found = found || g == want
		}
		if !found {
			t.Errorf("message %d did not arrive as it was sent", i)
		}
	}
}
