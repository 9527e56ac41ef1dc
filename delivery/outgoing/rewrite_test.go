package outgoing

import (
	"errors"
	"strings"
	"testing"

	"quorumta/internal/mail"
	"quorumta/internal/rewrite"
)

func rewriting(t *testing.T, condition, to string) rewrite.Rules {
	t.Helper()
	r := rewrite.Rule{Name: "canonical", In: rewrite.Headers}
	var err error
	if r.If, err = env(t).AddressCondition(condition); err != nil {
		t.Fatal(err)
	}
	if r.To, err = env(t).AddressText(to); err != nil {
		t.Fatal(err)
	}
	return rewrite.Rules{r}
}

// Addresses are rewritten before the message is signed, by the domain that its
// author has then; where no rule fits it is what was stored.
func TestRewritesBeforeItSigns(t *testing.T) {
	folder, record := keys(t)
	s := &store{content: strings.Replace(content, "a@corp.example", "a@old.example", 1)}
	r := &Rules{
		Rewrites: rewriting(t, `address.domain == "old.example" && sender.domain == "corp.example"`, `address.local + "@corp.example"`),
		Sign:     []Signer{signer(t, folder)},
	}
	f, got := prepare(t, r, s.letter())
	if f.Signatures != 1 || !strings.Contains(got, "d=corp.example") || !strings.HasSuffix(got, content) {
		t.Errorf("got\n%s", got)
	}
	if found := verify(t, got, record); len(found) != 1 {
		t.Errorf("%d signatures", len(found))
	}
	r.Sign = nil
	l := s.letter()
	l.Add = []string{"Sender: b@old.example"} // routers' own fields are as they say
	if _, got := prepare(t, r, l); !strings.Contains(got, "From: A <a@corp.example>\r\n") || !strings.Contains(got, "Sender: b@old.example\r\n") {
		t.Errorf("got\n%s", got)
	}
	l = s.letter()
	l.Facts.Sender = mail.Address{}
	if _, got := prepare(t, r, l); got != s.content {
		t.Errorf("got\n%s", got)
	}
	for _, odd := range []string{"From: a@other.example", "From: a@other.example\r\nSubject: x\r\n", "\r\nbody\r\n", ""} {
		s := &store{content: odd}
		if _, got := prepare(t, r, s.letter()); got != odd {
			t.Errorf("%q became %q", odd, got)
		}
	}
	r.Rewrites = rewriting(t, "", "address.local")
	_, err := r.Prepare(t.Context(), s.letter())
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Reply.Enhanced != "4.3.5" || !strings.Contains(err.Error(), "rewrite rule canonical, a@old.example") {
		t.Errorf("%v", err)
	}
}
