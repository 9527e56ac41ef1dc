package main_test

import (
	"context"
	"io"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	gosmtp "github.com/emersion/go-smtp"

	"quorumta/bench/proc"
)

// slow is a next hop that takes its time for each message, and notes their
// subjects in order.
type slow struct {
	mu   sync.Mutex
	got  []string
	open chan struct{} // closed when messages may be answered
}

// NewSession implements gosmtp.Backend.
func (s *slow) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return slowly{s}, nil }

type slowly struct{ *slow }

func (s slowly) Reset()                                 {}
func (s slowly) Logout() error                          { return nil }
func (s slowly) Mail(string, *gosmtp.MailOptions) error { return nil }
func (s slowly) Rcpt(string, *gosmtp.RcptOptions) error { return nil }

func (s slowly) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	_, subject, _ := strings.Cut(string(text), "\r\nSubject: ")
	subject, _, _ = strings.Cut(subject, "\r\n")
	<-s.open
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, subject)
	return err
}

const priorities = `
sites:
  - {name: one, connections: 1}
priorities:
  - {name: bulk, if: 'header["Precedence"] == "bulk"', priority: -4}
`

// TestUrgentMailGoesFirst: what its sender, or a rule, calls urgent leaves before
// what waits already, and the rest is not forgotten.
func TestUrgentMailGoesFirst(t *testing.T) {
	next := slow{open: make(chan struct{})}
	server := gosmtp.NewServer(&next)
	server.Domain = "last.example"
	c := started(t, proc.Options{
		Nodes: 1, Smarthost: listen(t, server),
		Edit: func(_ string, config []byte) []byte {
			text := strings.Replace(string(config), "tls: offer}", "tls: offer, priority: loopback}", 1)
			return append([]byte(text), priorities...)
		},
	})
	node := c.Nodes[0]
	conn, err := textproto.Dial("tcp", node.SMTP)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	say := func(command string, code int) string {
		t.Helper()
		if command != "" {
			if err := conn.PrintfLine("%s", command); err != nil {
				t.Fatal(err)
			}
		}
		_, text, err := conn.ReadResponse(code)
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		return text
	}
	send := func(subject, parameter, field string) (id string) {
		t.Helper()
		say("MAIL FROM:<"+strings.ReplaceAll(subject, " ", "-")+"@example.org>"+parameter, 250)
		say("RCPT TO:<b@example.net>", 250)
		say("DATA", 354)
		text := say(field+"Subject: "+subject+"\r\n\r\nx\r\n.", 250)
		return text[strings.LastIndexByte(text, ' ')+1:]
	}
	say("", 220)
	if text := say("EHLO client.example", 250); !strings.Contains(text, "MT-PRIORITY") {
		t.Fatalf("EHLO: %s", text)
	}
	say("MAIL FROM:<a@example.org> MT-PRIORITY=10", 501)
	shows := func(id, what string) func(context.Context) bool {
		return func(context.Context) bool {
			out, _, _ := command(t, "queue", "show", id, "--config", node.Config)
			return strings.Contains(out, what)
		}
	}
	waitFor(t, "the one connection to be taken", shows(send("first", "", ""), "is being tried"))
	for i := range 20 {
		send("bulk "+strconv.Itoa(i), " MT-PRIORITY=3", "Precedence: bulk\r\n")
	}
	for i := range 5 {
		send("usual "+strconv.Itoa(i), "", "")
	}
	id := send("urgent", " MT-PRIORITY=6", "")
	if out := must(t, "queue", "show", id, "--config", node.Config); !strings.Contains(out, "priority 6") {
		t.Errorf("queue show: %s", out)
	}
	waitFor(t, "it to wait for the one connection", shows(id, "waits for a connection"))
	close(next.open)
	got := func() []string {
		next.mu.Lock()
		defer next.mu.Unlock()
		return slices.Clone(next.got)
	}
	waitFor(t, "all", func(context.Context) bool { return len(got()) == 27 })
	all := got()
	at := func(what string) int {
		return slices.IndexFunc(all, func(s string) bool { return strings.HasPrefix(s, what) })
	}
	if i := at("urgent"); i < 0 || i > 3 {
		t.Errorf("the urgent one was number %d: %v", i+1, all)
	}
	before := 0
	for _, s := range all[:10] {
		if strings.HasPrefix(s, "usual") {
			before++
		}
	}
	if before < 4 {
		t.Errorf("%d of 5 without a priority went before the bulk: %v", before, all)
	}
	if i := at("bulk"); i < 0 || i > 10 {
		t.Errorf("none of the bulk among the first: %v", all)
	}
}
