package smtp_test

import (
	"strings"
	"testing"

	"quorumta/internal/rewrite"
	"quorumta/smtp"
)

// The envelope is rewritten: in part before the policy sees it, in part after;
// what the client has said stays on record, and a rule that makes no address has
// the client try again.
func TestRewritesTheEnvelope(t *testing.T) {
	h := open(t, func(o *smtp.Options) {
		for _, r := range []struct{ name, condition, to, in string }{
			{"early", `address.domain == "early.example"`, `address.local + "@example.org"`, "smtp"},
			{"canonical", `address.domain == "example.org"`, `address.local + "@inside.example"`, "envelope"},
			{"headers", ``, `"never@x.example"`, "headers"},
			{"broken", `address.local == "broken"`, `"broken"`, "envelope"},
			{"broken at once", `address.local == "worse"`, `"broken"`, "smtp"},
			{"swallowed", `address.local == "swallowed"`, `"<>"`, "envelope_from"},
		} {
			rule := rewrite.Rule{Name: r.name, In: rewrite.ParsePlaces([]string{r.in})}
			var err error
			if rule.If, err = o.Policy.Env.AddressCondition(r.condition); err != nil {
				t.Fatal(err)
			}
			if rule.To, err = o.Policy.Env.AddressText(r.to); err != nil {
				t.Fatal(err)
			}
			o.Policy.Rewrites = append(o.Policy.Rewrites, rule)
		}
	})
	c := h.dial()
	c.hear("220")
	c.ask("EHLO x", "250")
	c.ask("MAIL FROM:<worse@x.example>", "451 4.3.5")
	c.ask("RCPT TO:<a@example.org>", "503")
	c.ask("MAIL FROM:<ann@early.example>", "250")
	c.ask("RCPT TO:<a@example.org>", "250")
	c.ask("RCPT TO:<b@early.example>", "250")
	c.ask("RCPT TO:<c@example.org> ORCPT=rfc822;first@example.org", "250")
	c.ask("RCPT TO:<d@inside.example>", "550 5.7.1")
	c.ask("RCPT TO:<a@early.example>", "250") // the first, once more
	c.ask("RCPT TO:<a@early.example> NOTIFY=SUCCESS", "250")
	c.ask("RCPT TO:<broken@example.org>", "451 4.3.5")
	c.ask("DATA", "354")
	id := idOf(t, c.ask("To: a@example.org\r\n\r\nx\r\n.", "250"))
	e := h.accepted(id)
	if from := e.Envelope.From.String(); from != "ann@inside.example" {
		t.Errorf("from %s", from)
	}
	var got []string
	for _, r := range e.Envelope.Recipients {
		got = append(got, r.Address.String()+" "+r.Original)
	}
	want := "a@inside.example rfc822;a@example.org, b@inside.example rfc822;b@early.example, c@inside.example rfc822;first@example.org" +
		", a@inside.example rfc822;a@early.example"
	if strings.Join(got, ", ") != want {
		t.Errorf("recipients %q\nnot %s", got, want)
	}
	if rules := strings.Join(e.Rules, " "); rules != "early canonical inbound" {
		t.Errorf("rules: %s", rules)
	}
	if _, content := h.message(id); !strings.HasSuffix(content, "To: a@example.org\r\n\r\nx\r\n") {
		t.Errorf("the content was changed:\n%s", content)
	}
	for _, line := range []string{"from_given=ann@early.example", "rewrite rule broken, broken@inside.example", "rewrite rule broken at once, worse@x.example"} {
		if !strings.Contains(h.log.String(), line) {
			t.Errorf("the log does not say %q", line)
		}
	}
	c.ask("MAIL FROM:<broken@x.example>", "250")
	c.ask("RCPT TO:<a@example.org>", "250")
	c.ask("DATA", "354")
	c.ask("x\r\n.", "451 4.3.5")
	c.ask("MAIL FROM:<swallowed@x.example>", "250")
	c.ask("RCPT TO:<a@example.org>", "250")
	c.ask("DATA", "354")
	if e := h.accepted(idOf(t, c.ask("x\r\n.", "250"))); !e.Envelope.From.IsNull() {
		t.Errorf("from %s", e.Envelope.From)
	}
	c.ask("MAIL FROM:<>", "250")
	c.ask("RCPT TO:<postmaster>", "250")
	c.ask("DATA", "354")
	if e := h.accepted(idOf(t, c.ask("x\r\n.", "250"))); !e.Envelope.From.IsNull() || e.Envelope.Recipients[0].Address.Domain == "inside.example" {
		t.Errorf("%+v", e.Envelope)
	}
}
