package dsn

import (
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/smtp/smtptest"
)

// refusal is what the next hop says to nobody@far.example.
const refusal = "5.1.1 <nobody@far.example>: no such user here"

// nextHop refuses nobody@far.example, takes what is for others, and gives their
// content.
func nextHop(t *testing.T) (address string, taken <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	letters := make(chan string, 10)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go attend(nc, letters)
		}
	}()
	return l.Addr().String(), letters
}

// attend is one session; it ends with the connection.
func attend(nc net.Conn, letters chan<- string) {
	c := textproto.NewConn(nc)
	defer func() { _ = c.Close() }()
	err := c.PrintfLine("220 hop.example ESMTP")
	for err == nil {
		var line string
		if line, err = c.ReadLine(); err != nil {
			return
		}
		switch verb := strings.ToUpper(line); {
		case strings.HasPrefix(verb, "EHLO"):
			err = c.PrintfLine("250-hop.example\r\n250 ENHANCEDSTATUSCODES")
		case strings.HasPrefix(verb, "RCPT TO:<NOBODY@FAR.EXAMPLE>"):
			err = c.PrintfLine("550 %s", refusal)
		case verb == "DATA":
			if err = c.PrintfLine("354 go"); err != nil {
				return
			}
			text, bad := c.ReadDotBytes()
			if bad != nil {
				return
			}
			letters <- string(text)
			err = c.PrintfLine("250 2.0.0 taken")
		case verb == "QUIT":
			_ = c.PrintfLine("221 bye")
			return
		default:
			err = c.PrintfLine("250 2.0.0 ok")
		}
	}
}

const wanted = "From: <s@corp.example>\r\nTo: <nobody@far.example>\r\nSubject: Invoice 7\r\nMessage-ID: <1@corp.example>\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\nHello\r\n"

// bounced has a server bounce the message, and reads its report.
func bounced(t *testing.T, server *smtptest.Server, taken <-chan string) reading {
	t.Helper()
	c, err := smtp.Dial(server.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, step := range []struct {
		want int
		line string
	}{
		{250, "EHLO client.example"},
		{250, "MAIL FROM:<s@corp.example> RET=HDRS ENVID=QQ314159"},
		{250, "RCPT TO:<nobody@far.example> NOTIFY=FAILURE ORCPT=rfc822;Nobody@far.example"},
		{354, "DATA"},
		{250, strings.ReplaceAll(wanted, "\r\n", "\n") + "."},
	} {
		id, err := c.Text.Cmd("%s", strings.ReplaceAll(step.line, "\n", "\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		c.Text.StartResponse(id)
		_, _, err = c.Text.ReadResponse(step.want)
		c.Text.EndResponse(id)
		if err != nil {
			t.Fatalf("%.20s: %v", step.line, err)
		}
	}
	select {
	case report := <-taken:
		return readBy(t, []byte(strings.ReplaceAll(report, "\n", "\r\n")))
	case <-time.After(time.Minute):
		t.Fatal("no report in a minute")
	}
	return reading{}
}

// ours is what we say of the same refusal.
func ours(t *testing.T, host string) reading {
	t.Helper()
	m := testMessage(mail.Recipient{Address: address("nobody@far.example"), Original: "rfc822;Nobody@far.example", Notify: mail.NotifyFailure})
	m.Accepted.Envelope.Return, m.Accepted.Subject = mail.ReturnHeaders, "Invoice 7"
	got := build(t, builder(), Failure, m, wanted, Status{
		Host: host, Error: event.ErrorRecipient, LastAttempt: now,
		Reply: mail.Reply{Code: 550, Enhanced: "5.1.1", Text: strings.TrimPrefix(refusal, "5.1.1 ")},
	})
	r := readBy(t, check(t, got).raw)
	if len(r.Faults) > 0 {
		t.Error(r.Faults)
	}
	return r
}

// TestBesidePostfix and TestBesideExim: the same message, refused in the same
// way, is reported alike by us and by real servers, where these report it.
func TestBesidePostfix(t *testing.T) {
	relay, taken := nextHop(t)
	theirs := bounced(t, smtptest.Postfix(t, relay), taken)
	compare(t, theirs, ours(t, strings.TrimPrefix(theirs.Recipients[0]["remote-mta"], "dns; ")), map[string]bool{"status": true, "diagnostic-code": true})
}

func TestBesideExim(t *testing.T) {
	relay, taken := nextHop(t)
	theirs := bounced(t, smtptest.Exim(t, relay), taken)
	// Exim's status is 5.0.0 whatever the server said.
	compare(t, theirs, ours(t, strings.TrimPrefix(theirs.Recipients[0]["remote-mta"], "dns; ")), map[string]bool{})
}

// compare compares the fields that say what became of the recipient; more are
// those that this server is known to write as the RFCs mean it.
func compare(t *testing.T, theirs, ours reading, more map[string]bool) {
	t.Helper()
	for _, fault := range theirs.Faults { // or our reader is too strict to mean anything
		if !strings.HasSuffix(fault, "out of order") {
			t.Errorf("a fault of theirs: %s", fault)
		}
	}
	if len(theirs.Recipients) != 1 || len(ours.Recipients) != 1 {
		t.Fatalf("%d and %d recipients", len(theirs.Recipients), len(ours.Recipients))
	}
	same := func(name, a, b string) {
		canonical := func(s string) string {
			return strings.ToLower(strings.Join(strings.Fields(strings.NewReplacer(";", "; ", "[", "", "]", "").Replace(s)), " "))
		}
		if canonical(a) != canonical(b) {
			t.Errorf("%s: theirs %q, ours %q", name, a, b)
		}
	}
	for _, name := range []string{"final-recipient", "original-recipient", "action", "remote-mta"} {
		if theirs.Recipients[0][name] != "" {
			same(name, theirs.Recipients[0][name], ours.Recipients[0][name])
		}
	}
	for name := range more {
		same(name, theirs.Recipients[0][name], ours.Recipients[0][name])
	}
	if envelope := theirs.Message["original-envelope-id"]; envelope != "" {
		same("original-envelope-id", envelope, ours.Message["original-envelope-id"])
	}
	same("returned part", theirs.Types[2], ours.Types[2])
	same("to", strings.Trim(theirs.To, "<>"), strings.Trim(ours.To, "<>"))
	for _, line := range []string{"Subject: Invoice 7", "Message-ID: <1@corp.example>"} {
		for who, r := range map[string]reading{"they": theirs, "we": ours} {
			if !strings.Contains(r.Returned, line) {
				t.Errorf("%s do not return %q: %s", who, line, r.Returned)
			}
		}
	}
	for _, text := range []string{"nobody@far.example", "no such user here"} {
		if !strings.Contains(strings.Join(strings.Fields(ours.Words), " "), text) {
			t.Errorf("our words lack %q: %s", text, ours.Words)
		}
	}
}
