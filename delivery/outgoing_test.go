package delivery

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"quorumta/delivery/outgoing"
	"quorumta/internal/mailauth/canon"
	"quorumta/internal/mailauth/dkim"
	"quorumta/internal/mailauth/keyfile"
	"quorumta/internal/mailauth/returnpath"
	"quorumta/internal/mailauth/srs"
	"quorumta/internal/policy"
)

// signing makes a rule that signs what a condition holds of, and what verifies
// that.
func signing(t *testing.T, condition string) (*outgoing.Rules, func(content string) (string, error)) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	env, err := policy.NewEnv(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := outgoing.Signer{
		Name: "test", Keys: keyfile.New(dkim.ParseKey, time.Now, func(string, error) {}),
		Canon: canon.Pair{Header: canon.Relaxed, Body: canon.Relaxed}, Oversign: dkim.DefaultOversign(),
	}
	text := func(expr string) *policy.Text {
		text, err := env.Text(expr, outgoing.Groups()...)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	s.Selector, s.Key = text(`"s"`), text(`"`+path+`"`)
	if s.If, err = env.Condition(condition, outgoing.Groups()...); err != nil {
		t.Fatal(err)
	}
	record := "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
	verify := func(content string) (string, error) {
		found, err := msgauth.VerifyWithOptions(strings.NewReader(content), &msgauth.VerifyOptions{
			LookupTXT: func(string) ([]string, error) { return []string{record}, nil },
		})
		if err != nil || len(found) == 0 {
			return "", err
		}
		return found[0].Domain, found[0].Err
	}
	return &outgoing.Rules{Sign: []outgoing.Signer{s}}, verify
}

// TestSignsReports: a report that we generate carries our signature, for the
// author that its header names. What nobody signs for goes out as it is.
func TestSignsReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules, verify := signing(t, `message.report`)
		h := open(t, func(o *Options) { o.Outgoing = rules })
		h.remote("a.example").reply = func(line string) string {
			if line == "RCPT TO:<no@a.example>" {
				return "550 5.1.1 nobody"
			}
			return ""
		}
		back := h.remote("sender.example")
		h.submit(nil, "yes@a.example", "no@a.example")
		h.waitEmpty()
		if got := h.remote("a.example").got(); len(got) != 1 || strings.Contains(got[0].content, "DKIM-Signature") {
			t.Errorf("a message that nobody signs: %+v", got)
		}
		got := back.got()
		if len(got) != 1 || !strings.HasPrefix(got[0].content, "DKIM-Signature: v=1; ") {
			t.Fatalf("the report: %+v", got)
		}
		if domain, err := verify(got[0].content); domain != "us.example" || err != nil {
			t.Errorf("the report's signature: %s, %v", domain, err)
		}
	})
}

// TestWaitsForItsKey: what cannot be signed as was asked waits, and bounces
// nobody.
func TestWaitsForItsKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules, verify := signing(t, `from.domain == "us.example"`)
		broken := *rules
		broken.Sign = []outgoing.Signer{rules.Sign[0]}
		env, err := policy.NewEnv(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if broken.Sign[0].Key, err = env.Text(`"/nowhere/key.pem"`); err != nil {
			t.Fatal(err)
		}
		h := open(t, func(o *Options) { o.Outgoing = &broken })
		a := h.remote("a.example")
		id := h.submitContent("From: x@us.example\r\nSubject: s\r\n\r\n"+strings.Repeat("text\r\n", 20000), nil, "1@a.example")
		h.waitFor("it is deferred", func() bool { return strings.Contains(h.story(id), "deferred[0] 451") })
		if len(a.got()) != 0 {
			t.Fatal("it went out without its signature")
		}
		h.rules(func(r *Rules) { r.Outgoing = rules })
		h.waitEmpty()
		got := a.got()
		if len(got) != 1 {
			t.Fatalf("%d messages, %s", len(got), h.story(id))
		}
		if domain, err := verify(got[0].content); domain != "us.example" || err != nil {
			t.Errorf("%s, %v", domain, err)
		}
	})
}

// TestReturnPaths: what an alias sends on leaves with a rewritten reverse-path
// and what the router says of its header, in a transaction of its own, and is
// signed as it leaves; other mail keeps its sender.
func TestReturnPaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules, verify := signing(t, `from.domain == "sender.example"`)
		rewriter := &srs.Rewriter{Domain: "srs.example", Secrets: [][]byte{[]byte("s")}, Length: 4, MaxAge: 21, Separator: '='}
		rules.Returns = &returnpath.Rules{SRS: rewriter}
		h := open(t, func(o *Options) { o.Outgoing = rules })
		env, err := policy.NewEnv(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		field, err := env.Text(`"List-Id: <" + rcpt.local + ".us.example>"`)
		if err != nil {
			t.Fatal(err)
		}
		list := alias(t, "list", `"ann@a.example, list@a.example"`)
		list.Say.Add, list.Say.Remove = []*policy.Text{field}, []string{"X-Old"}
		h.rules(func(r *Rules) { r.Router = table(t, h.world, list, internet()) })
		a := h.remote("a.example")
		h.submitContent("From: x@sender.example\r\nX-Old: y\r\nSubject: s\r\n\r\ntext\r\n", nil, "list@a.example", "bob@a.example")
		h.waitEmpty()
		from := map[string]string{}
		for _, l := range a.got() {
			for _, to := range l.to {
				from[to] = l.from
			}
			listed := strings.Contains(l.content, "List-Id: <list.us.example>\r\n") && !strings.Contains(l.content, "X-Old")
			if plain := l.to[0] == "bob@a.example"; listed == plain {
				t.Errorf("to %v: %s", l.to, l.content)
			}
			if domain, err := verify(l.content); domain != "sender.example" || err != nil {
				t.Errorf("to %v: signed by %s, %v", l.to, domain, err)
			}
		}
		there, _, _ := strings.Cut(strings.TrimPrefix(from["ann@a.example"], "MAIL FROM:<"), ">")
		back, err := rewriter.Reverse(address(there), time.Now())
		if err != nil || back.String() != "sender@sender.example" {
			t.Errorf("to ann: %s: %v, %v", from["ann@a.example"], back, err)
		}
		for _, to := range []string{"bob@a.example", "list@a.example"} {
			if !strings.HasPrefix(from[to], "MAIL FROM:<sender@sender.example>") {
				t.Errorf("to %s: %s", to, from[to])
			}
		}
	})
}
