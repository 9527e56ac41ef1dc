package smtpc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"quorumta/delivery/transport"
	"quorumta/internal/mail"
)

// script plays a server line by line: "S: text" is said, "C: text" is expected,
// "C* text" reads lines until the text, "close" hangs up, "silence" says
// nothing more until the client gives up.
func script(t *testing.T, lines string) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = server.Close() }()
		play(t, server, strings.Split(strings.TrimSpace(lines), "\n"))
	}()
	t.Cleanup(func() {
		_ = client.Close()
		<-done
	})
	return client
}

func play(t *testing.T, server net.Conn, lines []string) {
	r := bufio.NewReader(server)
	for _, line := range lines {
		verb, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch verb {
		case "S:":
			if _, err := io.WriteString(server, text+"\r\n"); err != nil {
				return
			}
		case "C:", "C*":
			for {
				got, err := r.ReadString('\n')
				if err != nil {
					t.Errorf("waiting for %q: %v", text, err)
					return
				}
				if got == text+"\r\n" {
					break
				}
				if verb == "C:" {
					t.Errorf("the client says %q, want %q", got, text)
					return
				}
			}
		case "silence":
			_, _ = io.Copy(io.Discard, r)
		case "hold": // reads nothing any more
			time.Sleep(time.Hour)
			return
		case "close":
			return
		}
	}
	_, _ = io.Copy(io.Discard, r)
}

func open(t *testing.T, lines string) (*Conn, error) {
	t.Helper()
	return Greet(context.Background(), script(t, lines), Options{Hostname: "us.example"})
}

func mustOpen(t *testing.T, lines string) *Conn {
	t.Helper()
	c, err := open(t, lines)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func to(addresses ...string) []mail.Recipient {
	var list []mail.Recipient
	for _, s := range addresses {
		a, err := mail.ParseAddress(s)
		if err != nil {
			panic(err)
		}
		list = append(list, mail.Recipient{Address: a})
	}
	return list
}

func message(content string, rcpts ...string) *transport.Message {
	return &transport.Message{
		From: mail.Address{Local: "me", Domain: "us.example"}, Recipients: to(rcpts...),
		Size: int64(len(content)), Content: strings.NewReader(content),
	}
}

func TestPipelinedDialogue(t *testing.T) {
	c := mustOpen(t, `
		S: 220 them.example ESMTP
		C: EHLO us.example
		S: 250-them.example
		S: 250-PIPELINING
		S: 250-SIZE 1000
		S: 250-8BITMIME
		S: 250 DSN
		C: MAIL FROM:<me@us.example> SIZE=9 BODY=8BITMIME RET=HDRS ENVID=a+2Bb
		C: RCPT TO:<a@them.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;A+2B@them.example
		C: RCPT TO:<b@them.example>
		C: DATA
		S: 250 2.1.0 ok
		S: 250 2.1.5 ok
		S: 550 5.1.1 who?
		S: 354 go
		C: hi
		C: ..x
		C: .
		S: 250 2.0.0 taken as 7
		C: MAIL FROM:<me@us.example> SIZE=4
		C: RCPT TO:<c@them.example>
		C: DATA
		S: 250 ok
		S: 450 4.2.1 later
		S: 503 no recipients
		C: RSET
		C: MAIL FROM:<me@us.example> SIZE=4
		C: RCPT TO:<d@them.example>
		C: DATA
		S: 250 reset
		S: 250 ok
		S: 250 ok
		S: 354 go
		C: ho
		C: .
		S: 250 done
		C: QUIT
		S: 221 bye`)
	m := message("hi\r\n.x\r\n", "a@them.example", "b@them.example")
	m.Size = 9
	m.EightBit, m.Return, m.EnvID = true, mail.ReturnHeaders, "a+b"
	m.Recipients[0].Notify = mail.NotifySuccess | mail.NotifyFailure
	m.Recipients[0].Original = "rfc822;A+@them.example"
	looked := 0
	m.BeforeDot = func() error { looked++; return nil }
	res, err := c.Send(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	if res.Rcpts[0].Code != 250 || res.Rcpts[1].Enhanced != "5.1.1" || res.Final.Text != "taken as 7" || !res.Dot || looked != 1 {
		t.Errorf("%+v, looked %d times", res, looked)
	}
	res, err = c.Send(context.Background(), message("ho\r\n", "c@them.example"))
	if err != nil || res.Rcpts[0].Code != 450 || res.Dot {
		t.Errorf("%+v, %v", res, err)
	}
	res, err = c.Send(context.Background(), message("ho\r\n", "d@them.example"))
	if err != nil || !res.Final.Positive() {
		t.Errorf("%+v, %v", res, err)
	}
	c.Quit(context.Background())
}

func TestDialogueWithoutPipelining(t *testing.T) {
	c := mustOpen(t, `
		S: 220 them.example
		C: EHLO us.example
		S: 502 what?
		C: HELO us.example
		S: 250 hello
		C: MAIL FROM:<me@us.example>
		S: 250 ok
		C: RCPT TO:<a@them.example>
		S: 550 no
		C: RCPT TO:<b@them.example>
		S: 250 ok
		C: DATA
		S: 354 go
		C: hi
		C: .
		S: 451 full
		C: RSET
		S: 250 ok
		C: MAIL FROM:<me@us.example>
		S: 553 not you
		C: QUIT
		S: 221 bye`)
	res, err := c.Send(context.Background(), message("hi\r\n", "a@them.example", "b@them.example"))
	if err != nil || res.Final.Code != 451 {
		t.Fatalf("%+v, %v", res, err)
	}
	c.needsReset = true
	res, err = c.Send(context.Background(), message("hi\r\n", "a@them.example"))
	if err != nil || res.Mail.Code != 553 || res.Rcpts[0].Code != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	c.needsReset = false
	c.Quit(context.Background())
}

const hello = `
	S: 220 them.example
	C: EHLO us.example
	S: 250-them.example
	S: 250 PIPELINING
`

// TestEndsAtEachStep hangs up, or says 421, wherever a server can: the error
// tells the phase, and Dot is true only where the dot was on its way.
func TestEndsAtEachStep(t *testing.T) {
	envelope := hello + `
		C: MAIL FROM:<me@us.example>
		C: RCPT TO:<a@them.example>
		C: DATA
	`
	for name, c := range map[string]struct {
		lines string
		phase transport.Phase
		code  int
		dot   bool
	}{
		"close at MAIL":     {envelope + "close", transport.PhaseMail, 0, false},
		"close at RCPT":     {envelope + "S: 250 ok\nclose", transport.PhaseRcpt, 0, false},
		"close at DATA":     {envelope + "S: 250 ok\nS: 250 ok\nclose", transport.PhaseData, 0, false},
		"close at the dot":  {envelope + "S: 250 ok\nS: 250 ok\nS: 354 go\nC* .\nclose", transport.PhaseDot, 0, true},
		"421 at MAIL":       {envelope + "S: 421 bye\nclose", transport.PhaseMail, 421, false},
		"421 at RCPT":       {envelope + "S: 250 ok\nS: 421 bye\nclose", transport.PhaseRcpt, 421, false},
		"421 at DATA":       {envelope + "S: 250 ok\nS: 250 ok\nS: 421 bye\nclose", transport.PhaseData, 421, false},
		"junk at RCPT":      {envelope + "S: 250 ok\nS: what a day", transport.PhaseRcpt, 0, false},
		"junk at the dot":   {envelope + "S: 250 ok\nS: 250 ok\nS: 354 go\nC* .\nS: junk", transport.PhaseDot, 0, true},
		"250 to DATA":       {envelope + "S: 250 ok\nS: 250 ok\nS: 250 ok", transport.PhaseData, 250, false},
		"close in content":  {envelope + "S: 250 ok\nS: 250 ok\nS: 354 go\nclose", transport.PhaseContent, 0, false},
		"silence after dot": {envelope + "S: 250 ok\nS: 250 ok\nS: 354 go\nC* .\nsilence", transport.PhaseDot, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			conn := mustOpen(t, c.lines)
			conn.o.Timeouts.Dot = 50 * time.Millisecond
			res, err := conn.Send(context.Background(), message("hi\r\n", "a@them.example"))
			var e *transport.Error
			if !errors.As(err, &e) || e.Ours {
				t.Fatalf("%+v, %v", res, err)
			}
			if e.Phase != c.phase || e.Reply.Code != c.code || res.Dot != c.dot || !conn.Closed() {
				t.Errorf("%v: phase %s, reply %d, dot %v", err, e.Phase, e.Reply.Code, res.Dot)
			}
		})
	}
}

func TestGreetingRefused(t *testing.T) {
	for name, c := range map[string]struct {
		lines string
		phase transport.Phase
		code  int
	}{
		"554":         {"S: 554 go away", transport.PhaseGreeting, 554},
		"421":         {"S: 421 busy", transport.PhaseGreeting, 421},
		"junk":        {"S: SSH-2.0-OpenSSH_9", transport.PhaseGreeting, 0},
		"close":       {"close", transport.PhaseGreeting, 0},
		"EHLO 421":    {"S: 220 hi\nC: EHLO us.example\nS: 421 busy", transport.PhaseHello, 421},
		"EHLO 450":    {"S: 220 hi\nC: EHLO us.example\nS: 450 later", transport.PhaseHello, 450},
		"HELO 550":    {"S: 220 hi\nC: EHLO us.example\nS: 550 no\nC: HELO us.example\nS: 550 no", transport.PhaseHello, 550},
		"EHLO closes": {"S: 220 hi\nC: EHLO us.example\nclose", transport.PhaseHello, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t, c.lines)
			var e *transport.Error
			if !errors.As(err, &e) || e.Phase != c.phase || e.Reply.Code != c.code {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestNoDot: if the last look fails, or the content, there is no dot.
func TestNoDot(t *testing.T) {
	lines := hello + `
		C: MAIL FROM:<me@us.example>
		C: RCPT TO:<a@them.example>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 354 go`
	stale := errors.New("stale")
	broken := func(m *transport.Message) { m.Content = io.MultiReader(m.Content, errReader{stale}) }
	looks := func(m *transport.Message) { m.BeforeDot = func() error { return stale } }
	for name, change := range map[string]func(*transport.Message){"content": broken, "look": looks} {
		t.Run(name, func(t *testing.T) {
			client, server := net.Pipe()
			heard := make(chan string)
			go func() {
				var all strings.Builder
				play(t, tee{server, &all}, strings.Split(strings.TrimSpace(lines), "\n"))
				heard <- all.String()
			}()
			c, err := Greet(context.Background(), client, Options{Hostname: "us.example"})
			if err != nil {
				t.Fatal(err)
			}
			m := message("hi\r\n", "a@them.example")
			change(m)
			res, err := c.Send(context.Background(), m)
			var e *transport.Error
			if !errors.Is(err, stale) || !errors.As(err, &e) || !e.Ours || res.Dot {
				t.Errorf("%+v, %v", res, err)
			}
			if said := <-heard; strings.Contains(said, "\r\n.\r\n") {
				t.Errorf("the client said %q", said)
			}
		})
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// tee notes what is read.
type tee struct {
	net.Conn
	all *strings.Builder
}

func (t tee) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.all.Write(p[:n])
	return n, err
}

func TestContextInterrupts(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	c := mustOpen(t, hello+"C: MAIL FROM:<me@us.example>\nC: RCPT TO:<a@them.example>\nC: DATA\nsilence")
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := c.Send(ctx, message("hi\r\n", "a@them.example"))
	var e *transport.Error
	if !errors.As(err, &e) || !e.Ours || !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestCannot(t *testing.T) {
	c := mustOpen(t, "S: 220 hi\nC: EHLO us.example\nS: 250-them\nS: 250 SIZE 10")
	res, err := c.Send(context.Background(), message("hello there\r\n", "a@them.example"))
	if err != nil || res.Mail.Enhanced != "5.3.4" {
		t.Errorf("%+v, %v", res, err)
	}
	m := message("hi\r\n", "ä@them.example")
	m.UTF8 = true
	if res, err = c.Send(context.Background(), m); err != nil || res.Rcpts[0].Enhanced != "5.6.7" {
		t.Errorf("%+v, %v", res, err)
	}
	m = message("Subject: ü\r\n\r\nhi\r\n", "a@them.example")
	m.Size, m.UTF8 = 1, true
	if res, err = c.Send(context.Background(), m); err != nil || res.Mail.Enhanced != "5.6.7" {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestWithoutSMTPUTF8: what the labels of the DNS can name goes to a server that
// knows no other, and who cannot be named fails alone.
func TestWithoutSMTPUTF8(t *testing.T) {
	c := mustOpen(t, `
		S: 220 hi
		C: EHLO us.example
		S: 250-them
		S: 250-DSN
		S: 250 PIPELINING
		C: MAIL FROM:<me@xn--bcher-kva.example>
		C: RCPT TO:<a@xn--mnchen-3ya.example> ORCPT=utf-8;a@m\x{FC}nchen.example
		C: RCPT TO:<b@them.example>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 250 ok
		S: 354 go
		C: Subject: x
		C:
		C: hi
		C: .
		S: 250 taken`)
	m := message("Subject: x\r\n\r\nhi\r\n", "a@münchen.example", "ä@them.example", "b@them.example")
	m.From.Domain, m.UTF8 = "bücher.example", true
	m.Recipients[0].Original = "utf-8;a@münchen.example"
	res, err := c.Send(context.Background(), m)
	if err != nil || !res.Final.Positive() || res.Rcpts[1].Enhanced != "5.6.7" || res.Rcpts[0].Code != 250 || res.Rcpts[2].Code != 250 {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestDataForNobody: DATA was sent along, all recipients were refused, and the
// server goes on regardless.
func TestDataForNobody(t *testing.T) {
	c := mustOpen(t, hello+`
		C: MAIL FROM:<me@us.example>
		C: RCPT TO:<a@them.example>
		C: DATA
		S: 250 ok
		S: 550 no
		S: 354 go
		C: .
		S: 554 nothing
		C: QUIT
		S: 221 bye`)
	res, err := c.Send(context.Background(), message("hi\r\n", "a@them.example"))
	if err != nil || res.Dot || res.Rcpts[0].Code != 550 {
		t.Errorf("%+v, %v", res, err)
	}
	c.needsReset = false
	c.Quit(context.Background())
}

// TestManyRecipients goes over several windows of commands.
func TestManyRecipients(t *testing.T) {
	client, server := net.Pipe()
	go func() {
		defer func() { _ = server.Close() }()
		r := bufio.NewReader(server)
		say := func(s string) { _, _ = io.WriteString(server, s+"\r\n") }
		say("220 hi")
		pending := 0
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			switch {
			case strings.HasPrefix(line, "EHLO"):
				say("250-x\r\n250 PIPELINING")
			case strings.HasPrefix(line, "DATA"):
				pending++
				for ; pending > 1; pending-- {
					say("250 ok")
				}
				say("354 go")
			case line == ".\r\n":
				say("250 done")
			default:
				if pending++; pending == window {
					for ; pending > 0; pending-- {
						say("250 ok")
					}
				}
			}
			if strings.HasPrefix(line, "DATA") {
				for line != ".\r\n" {
					if line, err = r.ReadString('\n'); err != nil {
						return
					}
				}
				say("250 done")
			}
		}
	}()
	c, err := Greet(context.Background(), client, Options{Hostname: "us.example"})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for range 5*window/2 - 2 {
		list = append(list, "a@them.example")
	}
	res, err := c.Send(context.Background(), message("hi\r\n", list...))
	if err != nil || !res.Final.Positive() {
		t.Fatalf("%+v, %v", res.Final, err)
	}
	c.Close()
}
