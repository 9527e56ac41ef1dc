package dsn

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

func condition(t *testing.T, expr string) *policy.ReportCondition {
	t.Helper()
	env, err := policy.NewEnv(map[string][]netip.Prefix{}, map[string][]string{"forged": {"corp.example"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := env.ReportCondition(expr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// quiet is a log that the test may read.
func quiet(b *Builder) *bytes.Buffer {
	var out bytes.Buffer
	b.Log = slog.New(slog.NewTextHandler(&out, nil))
	return &out
}

func build(t *testing.T, b *Builder, kind Kind, m *state.Message, content string, status ...Status) *event.Accepted {
	t.Helper()
	got, err := reportOn(b, kind, m, status, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSuppress(t *testing.T) {
	m := testMessage(mail.Recipient{Address: address("a@far.example")}, mail.Recipient{Address: address("b@spam.example")})
	for name, c := range map[string]struct {
		rule string
		want int // recipients in the report
		log  string
	}{
		"by recipient":     {`rcpt.domain == "spam.example"`, 1, "report suppressed"},
		"by field":         {`"subject" in header && header["subject"].contains("Invoice")`, 0, "rule=r"},
		"not by another":   {`report == "delay" || error == "connect" || reply.code == 551`, 2, ""},
		"by a list":        {`sender.domain in lists.forged && error == "recipient"`, 0, ""},
		"a rule that errs": {`header["x-spam"] == "yes"`, 2, "a rule on reports fails"},
	} {
		b := builder()
		log := quiet(b)
		b.Rules.Suppress = []Rule{{Name: "r", If: condition(t, c.rule)}}
		got, n := build(t, b, Failure, m, content, refused(0), refused(1)), 0
		if got != nil {
			n = strings.Count(string(got.Content), "Final-Recipient:")
		}
		if n != c.want || !strings.Contains(log.String(), c.log) {
			t.Errorf("%s: %d recipients, want %d; log %s", name, n, c.want, log)
		}
	}
}

// TestWarnIf: nobody is told of the delay of bulk mail, unless the operator says
// otherwise; failures of it are told.
func TestWarnIf(t *testing.T) {
	list := "List-Id: <x.example>\r\n" + content
	delayed := Status{Reply: mail.Reply{Code: 450, Text: "Busy"}, Host: "mx.far.example"}
	m := testMessage(mail.Recipient{Address: address("a@far.example")})
	for name, c := range map[string]struct {
		kind    Kind
		content string
		rule    string
		want    bool
	}{
		"a person's":                {Delay, content, "", true},
		"a list's":                  {Delay, list, "", false},
		"a list's, as configured":   {Delay, list, "message.size > 0", true},
		"a person's, as configured": {Delay, content, "message.size == 0", false},
		"a rule that errs":          {Delay, list, `header["x"] == ""`, true},
		"a list's failure":          {Failure, list, "message.size == 0", true},
	} {
		b := builder()
		quiet(b)
		if c.rule != "" {
			b.Rules.WarnIf = condition(t, c.rule)
		}
		if got := build(t, b, c.kind, m, c.content, delayed); (got != nil) != c.want {
			t.Errorf("%s: %v", name, got != nil)
		}
	}
}

// TestDoubleBounces: what has no sender goes to the postmaster, and there it
// ends; never to a null reverse-path.
func TestDoubleBounces(t *testing.T) {
	b := builder()
	b.Copy = address("postmaster@corp.example")
	m := testMessage(mail.Recipient{Address: address("a@far.example"), Notify: mail.NotifyNever}, mail.Recipient{Address: b.Postmaster})
	m.Accepted.Envelope.From = mail.Address{}
	if build(t, b, Failure, m, content, refused(0)) != nil {
		t.Error("a report though none is wanted")
	}
	b.DoubleBounces = true
	got := build(t, b, Failure, m, content, refused(0))
	if got == nil || got.Envelope.Recipients[0].Address != b.Postmaster || !got.Envelope.From.IsNull() || len(got.Envelope.Recipients) != 1 {
		t.Fatalf("%+v", got)
	}
	golden(t, "double", check(t, got).raw)
	if build(t, b, Failure, m, content, refused(1)) != nil {
		t.Error("what fails at the postmaster goes there again")
	}
	if build(t, b, Delay, m, content, refused(0)) != nil || build(t, b, Success, m, content, refused(0)) != nil {
		t.Error("the postmaster is told of more than failures")
	}
}

// TestErrorAddress: routers say who is told.
func TestErrorAddress(t *testing.T) {
	b := builder()
	b.DoubleBounces = true
	owner := address("list-owner@corp.example")
	for name, c := range map[string]struct {
		errors *mail.Address
		from   string
		want   string
	}{
		"the list's owner": {&owner, "s@corp.example", "list-owner@corp.example"},
		"nobody":           {&mail.Address{}, "s@corp.example", ""},
		"as ever":          {nil, "s@corp.example", "s@corp.example"},
		"a report":         {&owner, "", "postmaster@corp.example"},
	} {
		m := testMessage(mail.Recipient{Address: address("a@far.example")})
		if c.from == "" {
			m.Accepted.Envelope.From = mail.Address{}
		}
		to := b.Addressee(Failure, m, 0, mail.Handling{Errors: c.errors})
		if to.IsNull() != (c.want == "") || !to.IsNull() && to != address(c.want) {
			t.Errorf("%s: told %s, want %q", name, to, c.want)
		}
		got, err := b.Build(Failure, to, m, []Status{refused(0)}, strings.NewReader(content))
		if err != nil || (got == nil) != to.IsNull() || got != nil && got.Envelope.Recipients[0].Address != to {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestCopy(t *testing.T) {
	b := builder()
	b.Copy = b.Postmaster
	m := testMessage(mail.Recipient{Address: address("a@far.example")})
	got := build(t, b, Failure, m, content, refused(0))
	if list := got.Envelope.Recipients; len(list) != 2 || list[0].Address != address("s@corp.example") || list[1].Address != b.Postmaster || list[1].Notify != mail.NotifyNever {
		t.Errorf("got %+v", list)
	}
	if got = build(t, b, Delay, m, content, refused(0)); len(got.Envelope.Recipients) != 1 {
		t.Error("copies of warnings")
	}
}

func TestLanguages(t *testing.T) {
	m := testMessage(mail.Recipient{Address: address("a@far.example")})
	german := "Content-Language: fr, de-AT\r\n" + content
	b := builder()
	got := build(t, b, Failure, m, german, refused(0))
	golden(t, "german", check(t, got).raw)
	if got.Subject != "Ihre Nachricht konnte nicht zugestellt werden" {
		t.Error(got.Subject)
	}
	b.Rules.Languages = []Rule{{Name: "never", If: condition(t, `sender.domain == "x"`), Use: "en"}, {Name: "own", If: condition(t, `sender.domain == "corp.example"`), Use: "corp"}}
	templates, err := NewTemplates(fstest.MapFS{
		"corp/failure.txt": {Data: []byte("Subject: Grüße von {{.Hostname}}\r\n\r\nAn {{.Sender}}:\r\n  {{range .Recipients}}{{.Address}}{{end}}\u202e\x07\r\n")},
		"README":           {Data: []byte("no language")},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Templates = templates
	got = build(t, b, Failure, m, german, refused(0))
	p := check(t, got)
	if got.Subject != "Grüße von relay1.corp.example" || !strings.Contains(string(p.raw), "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_von_relay1.corp.example?=") {
		t.Errorf("%q\n%s", got.Subject, p.raw)
	}
	if p.bodies[0] != "An s@corp.example:\r\n  a@far.example??\r\n" {
		t.Errorf("%q", p.bodies[0])
	}
	if got = build(t, b, Delay, m, german, refused(0)); got.Subject != "Your message is delayed" {
		t.Errorf("what has no words of its own: %q", got.Subject)
	}
}

// TestTemplatesAreTriedOut: one that fails is found when it is read; and should
// one fail later, the report goes out in English.
func TestTemplatesAreTriedOut(t *testing.T) {
	for text, want := range map[string]string{
		"Subject: x\n\n{{.Nothing}}": "can't evaluate field Nothing",
		"Subject: x\n\n{{if}}":       "missing value for if",
		"Hello\n\nyou":               `begins with "Subject: …"`,
		"Subject:\n\nyou":            `begins with "Subject: …"`,
		"Subject: x\nyou":            `begins with "Subject: …"`,
		"Subject: x\n\n{{range 1000000}}aaaaaaaaaaa{{end}}": "more than 65536 bytes",
	} {
		_, err := NewTemplates(fstest.MapFS{"xx/failure.txt": {Data: []byte(text)}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "xx/failure.txt") {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	late, err := NewTemplates(fstest.MapFS{"en/failure.txt": {Data: []byte("Subject: x\n\n{{if eq .ID \"01hf0000000000000001\"}}{{index .Recipients 7}}{{end}}")}})
	if err != nil {
		t.Fatal(err)
	}
	b := builder()
	log := quiet(b)
	b.Templates = late
	got := build(t, b, Failure, testMessage(mail.Recipient{Address: address("a@far.example")}), content, refused(0))
	if got == nil || got.Subject != "Your message could not be delivered" || !strings.Contains(string(got.Content), "will\r\nnot be tried again") || !strings.Contains(log.String(), "a template for reports fails") {
		t.Errorf("%+v; log %s", got, log)
	}
}

// TestOverlongLines: what no report may have is not returned whole.
func TestOverlongLines(t *testing.T) {
	m := testMessage(mail.Recipient{Address: address("a@far.example")})
	m.Accepted.Envelope.Return = mail.ReturnFull
	got := build(t, builder(), Failure, m, content+strings.Repeat("x", 999)+"\r\n", refused(0))
	if p := check(t, got); p.types[2] != "text/rfc822-headers" {
		t.Error(p.types)
	}
	got = build(t, builder(), Failure, m, "X: "+strings.Repeat("y", 5000)+"\r\n"+content, refused(0))
	if p := check(t, got); strings.Count(p.bodies[2], "y") < 5000 {
		t.Error("the header is cut")
	}
}

// A report that nobody asked for costs no reading: most deliveries are such.
func TestNothingIsReadForNobody(t *testing.T) {
	m := testMessage(mail.Recipient{Address: address("a@far.example")})
	content := strings.NewReader("Subject: s\r\n\r\n")
	if report, err := reportOn(builder(), Success, m, []Status{{}}, content); report != nil || err != nil || content.Len() != len("Subject: s\r\n\r\n") {
		t.Errorf("%+v, %v, %d bytes left", report, err, content.Len())
	}
}
