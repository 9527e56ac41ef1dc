package smtp_test

import (
	"strings"
	"testing"
	"time"

	"quorumta/internal/mail"
	"quorumta/internal/mailauth/batv"
	"quorumta/internal/mailauth/returnpath"
	"quorumta/internal/mailauth/srs"
	"quorumta/smtp"
)

// What comes back to a return path of ours is taken to where that stands for,
// and nothing else is taken for it.
func TestReturnPathsComeBack(t *testing.T) {
	rewriter := &srs.Rewriter{Domain: "srs.example.org", Secrets: [][]byte{[]byte("s")}, Length: 4, MaxAge: 21, Separator: '='}
	tagger := &batv.Tagger{Keys: map[int][]byte{1: []byte("b")}, Key: 1, Days: 7}
	h := open(t, func(o *smtp.Options) {
		check, err := o.Policy.Env.Condition(`rcpt.domain == "example.org"`, returnpath.InGroups()...)
		if err != nil {
			t.Fatal(err)
		}
		o.Policy.Returns = &returnpath.Rules{SRS: rewriter, BATV: tagger, Check: check}
	})
	forwarded, _ := rewriter.Forward(mail.Address{Local: "joe", Domain: "elsewhere.example"}, time.Now())
	tagged, _ := tagger.Tag(mail.Address{Local: "ann", Domain: "example.org"}, time.Now())
	c := h.dial()
	c.hear("220")
	c.ask("EHLO x", "250")
	c.ask("MAIL FROM:<>", "250")
	c.ask("RCPT TO:<"+forwarded.String()+">", "250")
	c.ask("RCPT TO:<"+tagged.String()+"> ORCPT=rfc822;first@example.org", "250")
	c.ask("RCPT TO:<"+strings.Replace(forwarded.String(), "joe", "jim", 1)+">", "550 5.7.1")
	c.ask("RCPT TO:<"+strings.Replace(tagged.String(), "ann", "bob", 1)+">", "550 5.7.1")
	c.ask("RCPT TO:<ann@example.org>", "550 5.7.1")
	c.ask("RCPT TO:<joe@elsewhere.example>", "550 5.7.1")
	c.ask("DATA", "354")
	e := h.accepted(idOf(t, c.ask("x\r\n.", "250")))
	got := e.Envelope.Recipients
	if len(got) != 2 || got[0].Address.String() != "joe@elsewhere.example" || got[0].Original != "rfc822;"+forwarded.String() ||
		got[1].Address.String() != "ann@example.org" || got[1].Original != "rfc822;first@example.org" {
		t.Errorf("recipients %+v", got)
	}
	if rules := strings.Join(e.Rules, " "); !strings.Contains(rules, "srs") {
		t.Errorf("rules: %s", rules)
	}
	c.ask("MAIL FROM:<x@elsewhere.example>", "250")
	c.ask("RCPT TO:<ann@example.org>", "250")
	c.ask("RCPT TO:<prvs=1000abcdef=ann@example.org>", "250")
}
