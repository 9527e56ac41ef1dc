package dsn

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset"
	"github.com/google/go-cmp/cmp"

	"quorumta/internal/mail"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

var update = flag.Bool("update", false, "write the golden files")

var now = time.Date(2026, 11, 23, 18, 30, 0, 0, time.UTC)

const content = "Received: from app\r\nSubject: Invoice 7\r\nFrom: <s@corp.example>\r\n\r\nHello,\r\n..\r\n"

func builder() *Builder {
	return &Builder{
		Hostname: "relay1.corp.example", Postmaster: mail.Address{Local: "postmaster", Domain: "corp.example"},
		Now: func() time.Time { return now },
	}
}

// reportOn builds a report to who is told about the first of the recipients.
func reportOn(b *Builder, kind Kind, m *state.Message, list []Status, content io.Reader) (*event.Accepted, error) {
	return b.Build(kind, b.Addressee(kind, m, list[0].N, mail.Handling{}), m, list, content)
}

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

func testMessage(rcpts ...mail.Recipient) *state.Message {
	m := &state.Message{At: now.Add(-5 * time.Hour)}
	m.Accepted = event.Accepted{
		ID:       "01hf0000000000000001",
		Envelope: mail.Envelope{From: address("s@corp.example"), Recipients: rcpts, EnvID: "QQ314159"},
		HeaderID: "<1@corp.example>",
		Subject:  "=?utf-8?q?Rechnung_f=C3=BCr_7?=",
		Size:     int64(len(content)),
	}
	for _, r := range rcpts {
		m.Recipients = append(m.Recipients, state.Recipient{Recipient: r})
	}
	return m
}

func refused(n int) Status {
	return Status{
		N: n, Host: "mx.far.example", Error: event.ErrorRecipient, LastAttempt: now,
		Reply: mail.Reply{Code: 550, Enhanced: "5.1.1", Text: "No such user\nSee <https://far.example/help> for what can be done about it and whom to ask"},
	}
}

// parsed is a report read back.
type parsed struct {
	raw    []byte
	header message.Header
	types  []string
	bodies []string
}

func parse(t *testing.T, text []byte) parsed {
	t.Helper()
	e, err := message.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	p := parsed{header: e.Header}
	parts := e.MultipartReader()
	if parts == nil {
		t.Fatalf("no multipart:\n%s", text)
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return p
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(part.Body)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := part.Header.ContentType()
		p.types = append(p.types, kind)
		p.bodies = append(p.bodies, string(body))
	}
}

// check asserts what holds for every report.
func check(t *testing.T, got *event.Accepted) parsed {
	t.Helper()
	text := got.Content
	if len(text) > event.MaxPart || int64(len(text)) != got.Size {
		t.Errorf("%d bytes, Size %d", len(text), got.Size)
	}
	if bytes.Contains(bytes.ReplaceAll(text, []byte("\r\n"), nil), []byte("\n")) ||
		bytes.Contains(bytes.ReplaceAll(text, []byte("\r\n"), nil), []byte("\r")) || bytes.IndexByte(text, 0) >= 0 {
		t.Errorf("bare CR, bare LF or NUL in\n%q", text)
	}
	for line := range bytes.SplitSeq(text, []byte("\r\n")) {
		if len(line) > 998 {
			t.Errorf("a line of %d octets", len(line))
		}
	}
	if !isASCII(text) && !got.Envelope.EightBit {
		t.Error("8-bit content without BODY=8BITMIME")
	}
	if !got.Envelope.From.IsNull() || len(got.Envelope.Recipients) != 1 || got.Envelope.Recipients[0].Notify != mail.NotifyNever {
		t.Errorf("envelope %+v", got.Envelope)
	}
	p := parse(t, text)
	p.raw = text
	if kind, params, err := p.header.ContentType(); err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Errorf("Content-Type %s %v %v", kind, params, err)
	}
	if p.header.Get("Auto-Submitted") != "auto-replied" {
		t.Error("no Auto-Submitted")
	}
	return p
}

func golden(t *testing.T, name string, text []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".eml")
	got := strings.ReplaceAll(string(text), "\r\n", "\n")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestReports(t *testing.T) {
	tests := []struct {
		name   string
		kind   Kind
		edit   func(*Builder, *state.Message)
		rcpts  []mail.Recipient
		status []Status
		types  string
	}{
		{
			name: "failure", kind: Failure,
			rcpts: []mail.Recipient{
				{Address: address("a@far.example"), Original: "rfc822;Original@far.example"},
				{Address: address("never@far.example"), Notify: mail.NotifyNever},
				{Address: address("b@far.example"), Notify: mail.NotifyFailure},
			},
			status: []Status{refused(0), refused(1), {
				N: 2, Expired: true, Error: event.ErrorConnect, Host: "192.0.2.1", LastAttempt: now,
				Reply: mail.Reply{Text: "connection refused"},
			}},
			types: "text/plain message/delivery-status text/rfc822-headers",
		},
		{
			name: "full", kind: Failure,
			edit:   func(_ *Builder, m *state.Message) { m.Accepted.Envelope.Return = mail.ReturnFull },
			rcpts:  []mail.Recipient{{Address: address("a@far.example")}},
			status: []Status{{Reply: mail.Reply{Code: 550, Enhanced: "5.1.2", Text: "domain far.example does not exist"}, Error: event.ErrorRouting}},
			types:  "text/plain message/delivery-status message/rfc822",
		},
		{
			name: "delay", kind: Delay,
			rcpts: []mail.Recipient{{Address: address("a@far.example")}},
			status: []Status{{
				Reply: mail.Reply{Code: 450, Text: "Busy"}, Host: "mx.far.example", LastAttempt: now, RetryUntil: now.Add(91 * time.Hour),
			}},
			types: "text/plain message/delivery-status text/rfc822-headers",
		},
		{
			name: "success", kind: Success,
			rcpts: []mail.Recipient{{Address: address("a@far.example"), Notify: mail.NotifySuccess}},
			status: []Status{{
				Reply: mail.Reply{Code: 250, Enhanced: "2.0.0", Text: "Ok: queued as 4711"}, Host: "mx.far.example", LastAttempt: now,
			}},
			types: "text/plain message/delivery-status text/rfc822-headers",
		},
		{
			name: "utf8", kind: Failure,
			edit:   func(_ *Builder, m *state.Message) { m.Accepted.Envelope.UTF8 = true },
			rcpts:  []mail.Recipient{{Address: mail.Address{Local: "jürgen", Domain: "münchen.example"}}},
			status: []Status{{Reply: mail.Reply{Code: 550, Enhanced: "5.1.1", Text: "Unbekannt: jürgen"}, Host: "mx.far.example"}},
			types:  "text/plain message/global-delivery-status message/global-headers",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, m := builder(), testMessage(test.rcpts...)
			if test.edit != nil {
				test.edit(b, m)
			}
			got, err := reportOn(b, test.kind, m, test.status, strings.NewReader(content))
			if err != nil || got == nil {
				t.Fatal(got, err)
			}
			p := check(t, got)
			if types := strings.Join(p.types, " "); types != test.types {
				t.Errorf("parts %s, want %s", types, test.types)
			}
			golden(t, test.name, got.Content)
		})
	}
}

func TestNobodyWantsIt(t *testing.T) {
	b := builder()
	a := mail.Recipient{Address: address("a@far.example")}
	failureOnly, never, all := a, a, a
	failureOnly.Notify, never.Notify, all.Notify = mail.NotifyFailure, mail.NotifyNever, mail.NotifyFailure|mail.NotifyDelay|mail.NotifySuccess
	for _, test := range []struct {
		kind Kind
		rcpt mail.Recipient
		want bool
	}{
		{Failure, a, true}, {Delay, a, true}, {Success, a, false},
		{Failure, failureOnly, true}, {Delay, failureOnly, false}, {Success, failureOnly, false},
		{Failure, never, false}, {Delay, never, false}, {Success, never, false},
		{Failure, all, true}, {Delay, all, true}, {Success, all, true},
	} {
		got, err := reportOn(b, test.kind, testMessage(test.rcpt), []Status{{N: 0}}, strings.NewReader(content))
		if err != nil || (got != nil) != test.want {
			t.Errorf("kind %d, NOTIFY %d: got %v, %v", test.kind, test.rcpt.Notify, got, err)
		}
	}
	m := testMessage(all)
	m.Accepted.Envelope.From = mail.Address{}
	if got, err := reportOn(b, Failure, m, []Status{{N: 0}}, strings.NewReader(content)); got != nil || err != nil {
		t.Errorf("a report to the null sender: %v, %v", got, err)
	}
}

func TestReturn(t *testing.T) {
	long := content + strings.Repeat("line\r\n", 20_000)
	header, _, _ := strings.Cut(content, "\r\n\r\n")
	for _, test := range []struct {
		name    string
		kind    Kind
		ret     mail.Return
		def     mail.Return
		content string
		want    string
	}{
		{"headers by default", Failure, mail.ReturnUnset, mail.ReturnUnset, content, header + "\r\n"},
		{"full by configuration", Failure, mail.ReturnUnset, mail.ReturnFull, content, content},
		{"headers by wish", Failure, mail.ReturnHeaders, mail.ReturnFull, content, header + "\r\n"},
		{"full by wish", Failure, mail.ReturnFull, mail.ReturnHeaders, content, content},
		{"too long", Failure, mail.ReturnFull, mail.ReturnFull, long, header + "\r\n"},
		{"delay", Delay, mail.ReturnFull, mail.ReturnFull, content, header + "\r\n"},
	} {
		b, m := builder(), testMessage(mail.Recipient{Address: address("a@far.example")})
		b.Return, m.Accepted.Envelope.Return, m.Accepted.Size = test.def, test.ret, int64(len(test.content))
		got, err := reportOn(b, test.kind, m, []Status{refused(0)}, strings.NewReader(test.content))
		if err != nil {
			t.Fatal(err)
		}
		if body := check(t, got).bodies[2]; body != test.want {
			t.Errorf("%s: got %.200q, want %.200q", test.name, body, test.want)
		}
	}
}

func TestContentThatCannotBeRead(t *testing.T) {
	b, m := builder(), testMessage(mail.Recipient{Address: address("a@far.example")})
	broken := iotest.ErrReader(errors.New("gone"))
	if _, err := reportOn(b, Failure, m, []Status{refused(0)}, broken); err == nil {
		t.Error("no error")
	}
	got, err := reportOn(b, Failure, m, []Status{refused(0)}, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	if p := check(t, got); len(p.types) != 2 {
		t.Errorf("parts %v", p.types)
	}
}

// However many recipients there are, the report fits an event.
func TestManyRecipients(t *testing.T) {
	for _, n := range []int{10, 300, 1000} {
		var rcpts []mail.Recipient
		var status []Status
		for i := range n {
			rcpts = append(rcpts, mail.Recipient{Address: address(fmt.Sprintf("user%d@far.example", i))})
			s := refused(i)
			s.Reply.Text = strings.Repeat("very long ", 500)
			status = append(status, s)
		}
		got, err := reportOn(builder(), Failure, testMessage(rcpts...), status, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		p := check(t, got)
		if listed := strings.Count(p.bodies[1], "Final-Recipient:"); listed != n {
			t.Errorf("%d of %d recipients listed", listed, n)
		}
	}
}

func TestStatusCodes(t *testing.T) {
	for want, s := range map[string]Status{
		"5.1.1": {Action: Failed, Reply: mail.Reply{Code: 550, Enhanced: "5.1.1"}},
		"5.0.0": {Action: Failed, Reply: mail.Reply{Code: 550, Enhanced: "4.1.1"}},
		"4.0.0": {Action: Delayed, Reply: mail.Reply{Code: 450, Enhanced: "junk"}},
		"4.2.2": {Action: Failed, Expired: true, Reply: mail.Reply{Code: 452, Enhanced: "4.2.2"}},
		"4.4.7": {Action: Failed, Expired: true},
		"4.4.1": {Action: Delayed, Error: event.ErrorConnect},
		"5.7.5": {Action: Failed, Error: event.ErrorTLS},
		"2.0.0": {Action: Relayed, Reply: mail.Reply{Code: 250, Enhanced: "5.0.0"}},
		"2.1.5": {Action: Relayed, Reply: mail.Reply{Code: 250, Enhanced: "2.1.5"}},
	} {
		if got := s.code(); got != want {
			t.Errorf("%+v: got %s, want %s", s, got, want)
		}
	}
}

// No text from outside breaks a line, forges a field or closes a part.
func FuzzBuild(f *testing.F) {
	f.Add("No\r\nAction: delivered", "id\r\nX: y", "mx\n.example", "rfc822;a\r\nb", "a\r\n\r\n--b", "Subject: x\r\n\r\nbody", true)
	f.Add("--=_01hf0000000000000001.1795458600.0", "\x00", "é", "x", "\xff", "\r\n", false)
	f.Fuzz(func(t *testing.T, text, envID, host, orcpt, subject, content string, utf8 bool) {
		// The content of a queued message has neither of these.
		content = strings.NewReplacer("\r", "", "\x00", "").Replace(content)
		content = strings.ReplaceAll(content, "\n", "\r\n")
		for line := range strings.SplitSeq(content, "\r\n") {
			if len(line) > 998 {
				return
			}
		}
		m := testMessage(mail.Recipient{Address: address("a@far.example"), Original: orcpt})
		m.Accepted.Envelope.EnvID, m.Accepted.Envelope.UTF8, m.Accepted.Envelope.Return = envID, utf8, mail.ReturnFull
		m.Accepted.Subject, m.Accepted.HeaderID, m.Accepted.Size = subject, subject, int64(len(content))
		got, err := reportOn(builder(), Failure, m, []Status{{Host: host, Reply: mail.Reply{Code: 550, Enhanced: text, Text: text}}}, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		p := check(t, got)
		want := 3
		if content == "" {
			want = 2
		}
		if len(p.types) != want {
			t.Fatalf("parts %v in\n%s", p.types, got.Content)
		}
		if n := strings.Count(p.bodies[1], "\nAction: "); n != 1 {
			t.Fatalf("%d actions in\n%s", n, p.bodies[1])
		}
	})
}

// TestRequireTLS: a report about a message under REQUIRETLS demands the same and
// returns the header alone, whatever RET says (RFC 8689, section 5).
func TestRequireTLS(t *testing.T) {
	m := testMessage(mail.Recipient{Address: address("a@far.example")})
	m.Accepted.Envelope.Return = mail.ReturnFull
	for _, required := range []bool{false, true} {
		m.Accepted.Envelope.RequireTLS = required
		got, err := reportOn(builder(), Failure, m, []Status{refused(0)}, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{false: "message/rfc822", true: "text/rfc822-headers"}[required]
		if p := check(t, got); p.types[2] != want || got.Envelope.RequireTLS != required {
			t.Errorf("%t: %v, %+v", required, p.types, got.Envelope)
		}
	}
}
