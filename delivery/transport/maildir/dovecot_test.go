package maildir

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"quorumta/smtp/smtptest"
)

// TestDovecotReads: what is delivered belongs to the mailbox's owner, and Dovecot
// shows it by IMAP and POP3 as it was sent. Both count the same quota.
func TestDovecotReads(t *testing.T) {
	d := smtptest.DovecotMailboxes(t, "anna@them.example bytes=5000")
	d.Start(t)
	b := New(Options{
		Path: text(t, `"`+d.Dir+`/" + rcpt.domain + "/" + rcpt.local`), Hostname: "us.example",
		Owner: lookup(t, "nobody"), Quota: Quota{Bytes: 5000},
	})
	content := "From: me\r\nSubject: x\r\n\r\n.a\r\n" + strings.Repeat("0123456789\r\n", 100)
	for range 3 {
		if res, err := send(t, b, message(content, "anna@them.example")); err != nil || codes(res) != "250 2.0.0" {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	if res, err := send(t, b, message(strings.Repeat(content, 2), "anna@them.example")); err != nil || codes(res) != "452 4.2.2" {
		t.Errorf("%+v, %v", res, err)
	}
	box := filepath.Join(d.Dir, "them.example", "anna")
	for _, name := range files(t, box) {
		info, err := os.Stat(filepath.Join(box, name))
		if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != d.UID || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	for protocol, got := range map[string][]string{"IMAP": d.IMAP(t, "anna@them.example"), "POP3": d.POP3(t, "anna@them.example")} {
		if len(got) != 3 {
			t.Errorf("%d messages by %s", len(got), protocol)
		}
		for _, m := range got {
			if want := "Return-Path: <me@us.example>\r\nDelivered-To: anna@them.example\r\n" + content; m != want {
				t.Errorf("by %s: %q", protocol, m)
			}
		}
	}
}
