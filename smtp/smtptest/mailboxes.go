package smtptest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const mailboxesConf = `
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
instance_name = mailboxes
protocols = imap pop3 lmtp
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
auth_cache_size = 0
first_valid_uid = 1
mail_location = maildir:~
mail_plugins = quota
passdb {
  driver = passwd-file
  args = scheme=PLAIN username_format=%%u %[1]s/users
}
userdb {
  driver = passwd-file
  args = username_format=%%u %[1]s/users
}
plugin {
  quota = maildir:all
  quota_rule = *:storage=1G
}
service imap-login {
  chroot =
  inet_listener imap {
    address = 127.0.0.1
    port = %[2]d
  }
  inet_listener imaps {
    port = 0
  }
}
service pop3-login {
  chroot =
  inet_listener pop3 {
    address = 127.0.0.1
    port = %[3]d
  }
  inet_listener pop3s {
    port = 0
  }
}
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
  inet_listener lmtp {
    address = 127.0.0.1
    port = %[4]d
  }
}
service anvil {
  chroot =
}
`

// Mailboxes is a Dovecot whose users' password is "secret".
type Mailboxes struct {
	// Socket is where it takes mail by LMTP, and Address as well, host:port.
	Socket, Address string
	// Dir has a Maildir for each user: them.example/anna.
	Dir string
	// UID owns the mailboxes.
	UID int

	conf, said string
	program    string
	imap, pop3 int
}

// DovecotMailboxes prepares a Dovecot with a mailbox for each user, an address
// that may be followed by a space and a quota as "storage=10K". It runs when it
// is started.
func DovecotMailboxes(t testing.TB, users ...string) *Mailboxes {
	t.Helper()
	const owner = 65534
	d := &Mailboxes{UID: owner, program: need(t, "dovecot", "dovecot-core")}
	for _, part := range []string{"imap", "lmtp", "pop3"} {
		need(t, "/usr/lib/dovecot/"+part, "dovecot-"+part+"d")
	}
	need(t, "python3", "python3")
	dir := room(t, "run", "state", "mail")
	d.Dir, d.Socket = filepath.Join(dir, "mail"), filepath.Join(dir, "run", "lmtp")
	var rows strings.Builder
	for _, u := range users {
		address, quota, ok := strings.Cut(u, " ")
		local, domain, _ := strings.Cut(address, "@")
		fmt.Fprintf(&rows, "%s:secret:%d:%d::%s::", address, owner, owner, filepath.Join(d.Dir, domain, local))
		if ok {
			rows.WriteString("userdb_quota_rule=*:" + quota)
		}
		rows.WriteString("\n")
		if err := os.MkdirAll(filepath.Join(d.Dir, domain), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(d.Dir, domain), owner, owner); err != nil {
			t.Fatal(err)
		}
	}
	lmtp := freePort(t)
	d.imap, d.pop3, d.Address = freePort(t), freePort(t), fmt.Sprintf("127.0.0.1:%d", lmtp)
	d.conf, d.said = filepath.Join(dir, "dovecot.conf"), filepath.Join(dir, "said")
	write(t, filepath.Join(dir, "users"), "%s", rows.String())
	write(t, d.conf, mailboxesConf, dir, d.imap, d.pop3, lmtp)
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("Dovecot logged:\n%s", said)
		}
	})
	return d
}

// Start runs it until the test ends.
func (d *Mailboxes) Start(t testing.TB) {
	t.Helper()
	start(t, d.said, nil, d.program, "-F", "-c", d.conf)
	wait(t, "Dovecot's LMTP", func() bool { return answers(t, d.Socket) })
}

// The clients are those of Python's library, which knows nothing of us.
const imapClient = `
import imaplib, json, sys
box = imaplib.IMAP4("127.0.0.1", int(sys.argv[1]))
box.login(sys.argv[2], "secret")
box.select("INBOX", readonly=True)
_, found = box.search(None, "ALL")
print(json.dumps([box.fetch(n, "(BODY.PEEK[])")[1][0][1].decode("latin-1") for n in found[0].split()]))
box.logout()
`

const pop3Client = `
import json, poplib, sys
box = poplib.POP3("127.0.0.1", int(sys.argv[1]))
box.user(sys.argv[2])
box.pass_("secret")
count, _ = box.stat()
print(json.dumps(["".join(l.decode("latin-1") + "\r\n" for l in box.retr(n + 1)[1]) for n in range(count)]))
box.quit()
`

// IMAP reads a user's mailbox by IMAP: whole messages with CRLF.
func (d *Mailboxes) IMAP(t testing.TB, user string) []string {
	t.Helper()
	return ask(t, imapClient, d.imap, user)
}

// POP3 reads a user's mailbox by POP3: whole messages with CRLF.
func (d *Mailboxes) POP3(t testing.TB, user string) []string {
	t.Helper()
	return ask(t, pop3Client, d.pop3, user)
}

// ask runs a client.
func ask(t testing.TB, script string, port int, user string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "python3", "-c", script, fmt.Sprint(port), user)
	var failed bytes.Buffer
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the client of %s: %v\n%s", user, err, &failed)
	}
	var messages []string
	if err := json.Unmarshal(out, &messages); err != nil {
		t.Fatal(err)
	}
	return messages
}
