package rules

import (
	"fmt"
	"strings"
	"testing"
)

// TestTransports: what only this machine can tell is told with its place, all at
// once.
func TestTransports(t *testing.T) {
	f := load(t, t.TempDir(), `transports:
  - {name: ok, maildir: {path: '"/m"', user: nobody}}
  - {name: a, maildir: {path: '"/m"', user: nobody-of-that-name}}
  - {name: b, pipe: {command: [/bin/true], user: root}}
  - {name: c, pipe: {command: [/bin/true, x, "${rcpt.user}"], user: nobody}}
  - {name: d, pipe: {command: [/bin/true], user: nobody, environment: {A: "${"}}}
  - {name: g, http: {url: "https://a/${rcpt.user}"}}
  - {name: h, http: {url: "https://a", ca: n1.pem}}
  - {name: e, lmtp: {}}
  - {name: f, lmtp: {socket: /run/lmtp}}
`)
	_, err := Transports(f)
	for line, want := range map[int]string{
		8: `there is no user "nobody-of-that-name"`, 9: "the command would run as root", 10: "unknown name rcpt.user", 11: "a } is missing",
		12: "unknown name rcpt.user", 13: "has no certificate in PEM",
	} {
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("quorumta.yaml:%d:", line)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %s: not in\n%v", line, want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n"); n != 5 {
		t.Errorf("%d lines:\n%v", n+1, err)
	}
	f.Transports = append(f.Transports[:1:1], f.Transports[7:]...)
	list, err := Transports(f)
	if err != nil || list["ok"].Local == nil || list["f"].Local == nil || list["e"].Local != nil || !list["e"].SMTP.LMTP {
		t.Errorf("%+v, %v", list, err)
	}
	if DefaultPort(f, "e") != 24 || DefaultPort(f, "") != 25 {
		t.Error("ports")
	}
}
