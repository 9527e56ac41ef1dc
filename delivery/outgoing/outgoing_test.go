package outgoing

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"quorumta/delivery/egress"
	"quorumta/internal/mail"
	"quorumta/internal/mail/header"
	"quorumta/internal/mailauth/arc"
	"quorumta/internal/mailauth/canon"
	"quorumta/internal/mailauth/dkim"
	"quorumta/internal/mailauth/keyfile"
	"quorumta/internal/mailauth/returnpath"
	"quorumta/internal/mailauth/srs"
	"quorumta/internal/policy"
)

const content = "Received: x\r\nFrom: A <a@corp.example>\r\nBcc: secret@x.example\r\nSubject: one\r\n two\r\nX-Spam-Score: 1\r\n\r\nHello.\r\n"

// store opens a content, and counts how often.
type store struct {
	content string
	opened  int
}

func (s *store) open() (io.ReadCloser, error) {
	s.opened++
	return io.NopCloser(iotest.HalfReader(strings.NewReader(s.content))), nil
}

func (s *store) letter() Letter {
	c, _ := s.open()
	return Letter{
		Content: c, Open: s.open, Size: int64(len(s.content)), Now: time.Now(),
		Facts: &policy.Facts{Sender: mail.Address{Local: "a", Domain: "corp.example"}},
	}
}

// prepare checks that a form says its size, and that it opens again alike.
func prepare(t *testing.T, r *Rules, l Letter) (Form, string) {
	t.Helper()
	f, got := form(t, r, l)
	if int64(len(got)) != f.Size {
		t.Errorf("its size is %d, not %d", len(got), f.Size)
	}
	return f, got
}

func form(t *testing.T, r *Rules, l Letter) (Form, string) {
	t.Helper()
	f, err := r.Prepare(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := io.ReadAll(f.Content)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		again, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		more, err := io.ReadAll(again)
		if err != nil || !bytes.Equal(got, more) {
			t.Errorf("%v: opened again it is\n%s\nnot\n%s", err, more, got)
		}
		_ = again.Close()
	}
	return f, string(got)
}

func TestNothingToChange(t *testing.T) {
	s := &store{content: content}
	never := compile(t, `sender.domain == "other.example"`)
	for name, r := range map[string]*Rules{"nil": nil, "empty": {}, "not for it": {Sign: []Signer{{If: never}}}} {
		l := s.letter()
		f, err := r.Prepare(t.Context(), l)
		if err != nil || f.Content != l.Content {
			t.Errorf("%s: the content is not left alone (%v)", name, err)
		}
		l = s.letter()
		l.Top = "traceparent: x\r\n"
		if _, got := prepare(t, r, l); got != l.Top+content {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestFieldsAddedAndRemoved(t *testing.T) {
	s := &store{content: content}
	l := s.letter()
	l.Top = "traceparent: x\r\n"
	l.Remove = []string{"bcc", "X-Spam-*", "x-new"}
	l.Add = []string{"X-New: one\r\nBcc: evil@x.example", "X-Name: J\u00f6rg", "no name", "B@d name: x", "X-End: last\r\n\r\nbody"}
	const want = "traceparent: x\r\nReceived: x\r\nFrom: A <a@corp.example>\r\nSubject: one\r\n two\r\n" +
		"X-New: one\r\n\tBcc: evil@x.example\r\nX-Name: =?utf-8?q?J=C3=B6rg?=\r\nX-End: last\r\n\tbody\r\n\r\nHello.\r\n"
	if _, got := prepare(t, nil, l); got != want {
		t.Errorf("got\n%s", got)
	}
	l = s.letter()
	l.UTF8, l.Add = true, []string{"X-Name: J\u00f6rg"}
	if _, got := prepare(t, nil, l); !strings.Contains(got, "X-Name: J\u00f6rg\r\n\r\n") {
		t.Errorf("got\n%s", got)
	}
}

func compile(t *testing.T, expr string) *policy.Condition {
	t.Helper()
	c, err := env(t).Condition(expr, Groups()...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func text(t *testing.T, expr string) *policy.Text {
	t.Helper()
	c, err := env(t).Text(expr, Groups()...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func env(t *testing.T) *policy.Env {
	t.Helper()
	e, err := policy.NewEnv(nil, map[string][]string{"ours": {"corp.example"}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// keys writes a key for corp.example and returns its folder and its record.
func keys(t *testing.T) (folder, record string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	folder = t.TempDir()
	block := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(filepath.Join(folder, "corp.example.pem"), block, 0o600); err != nil {
		t.Fatal(err)
	}
	return folder, "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
}

func signer(t *testing.T, folder string) Signer {
	return Signer{
		Name: "ours", If: compile(t, `from.domain in lists.ours`), Folder: folder,
		Keys:     keyfile.New(dkim.ParseKey, time.Now, func(string, error) {}),
		Selector: text(t, `"s1"`), Key: text(t, `from.domain + ".pem"`),
		Canon: canon.Pair{Header: canon.Relaxed, Body: canon.Relaxed}, Oversign: dkim.DefaultOversign(),
	}
}

func verify(t *testing.T, signed, record string) []*msgauth.Verification {
	t.Helper()
	found, err := msgauth.VerifyWithOptions(strings.NewReader(signed), &msgauth.VerifyOptions{
		LookupTXT: func(string) ([]string, error) { return []string{record}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		if v.Err != nil {
			t.Errorf("%s: %v", v.Domain, v.Err)
		}
	}
	return found
}

func TestSigned(t *testing.T) {
	folder, record := keys(t)
	one := signer(t, folder)
	two := signer(t, folder)
	two.Domain, two.Identity, two.Canon.Body = text(t, `"MAIL." + from.domain`), text(t, `"x@mail.corp.example"`), canon.Simple
	other := signer(t, folder)
	other.If = compile(t, `from.domain == "other.example"`)
	r := &Rules{Sign: []Signer{one, two, other}}
	for name, body := range map[string]string{"small": "Hello.\r\n", "large": strings.Repeat("Hello, hello.\r\n", 10000), "none": ""} {
		t.Run(name, func(t *testing.T) {
			s := &store{content: "From: A <a@CORP.example>\r\nSubject: x\r\nBcc: b@x.example\r\n\r\n" + body}
			l := s.letter()
			l.Top, l.Remove, l.Add = "traceparent: x\r\n", []string{"Bcc"}, []string{"X-Added: here"}
			f, got := prepare(t, r, l)
			if f.Signatures != 2 || !strings.HasPrefix(got, l.Top+"DKIM-Signature: ") || strings.Contains(got, "Bcc:") {
				t.Errorf("%d signatures of\n%.500s", f.Signatures, got)
			}
			found := verify(t, got, record)
			if len(found) != 2 || found[0].Domain != "corp.example" || found[1].Domain != "mail.corp.example" {
				t.Errorf("found %+v", found)
			}
			if name == "small" && s.opened != 1 {
				t.Errorf("opened %d times", s.opened)
			}
		})
	}
}

func TestUnsigned(t *testing.T) {
	folder, _ := keys(t)
	missing := signer(t, folder)
	missing.Key, missing.Optional = text(t, `"none.pem"`), true
	nameless := signer(t, folder)
	nameless.Key, nameless.Optional = text(t, `""`), true
	for name, c := range map[string]struct {
		signer  Signer
		content string
	}{
		"another author": {signer(t, folder), "From: a@other.example\r\n\r\nx\r\n"},
		"no author":      {signer(t, folder), "Subject: x\r\n\r\nx\r\n"},
		"no header":      {signer(t, folder), "\r\nx\r\n"},
		"optional":       {missing, content},
		"without a name": {nameless, content},
	} {
		s := &store{content: c.content}
		if f, got := prepare(t, &Rules{Sign: []Signer{c.signer}}, s.letter()); got != c.content || f.Signatures != 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
	always := signer(t, folder)
	always.If, always.Domain, always.Key = nil, text(t, `"corp.example"`), text(t, `"corp.example.pem"`)
	s := &store{content: "Subject: x\r\n\r\nx\r\n"}
	if f, got := prepare(t, &Rules{Sign: []Signer{always}}, s.letter()); got != s.content || f.Signatures != 0 {
		t.Errorf("a message without From is signed: %q", got)
	}
}

func TestRefusals(t *testing.T) {
	folder, _ := keys(t)
	with := func(change func(*Signer)) *Rules {
		s := signer(t, folder)
		change(&s)
		return &Rules{Sign: []Signer{s}}
	}
	long := &store{content: "From: a@corp.example\r\nX: " + strings.Repeat("x", maxHeader) + "\r\n\r\nx\r\n"}
	for name, c := range map[string]struct {
		rules *Rules
		store *store
		code  int
	}{
		"no key":          {with(func(s *Signer) { s.Key = text(t, `"none.pem"`) }), &store{content: content}, 451},
		"out of folder":   {with(func(s *Signer) { s.Key, s.Optional = text(t, `"x/../../outside.pem"`), true }), &store{content: content}, 451},
		"bad selector":    {with(func(s *Signer) { s.Selector = text(t, `"a;b"`) }), &store{content: content}, 451},
		"bad domain":      {with(func(s *Signer) { s.Domain = text(t, `"a b.example"`) }), &store{content: content}, 451},
		"fails at run":    {with(func(s *Signer) { s.If = compile(t, `from.domain.substring(100) == ""`) }), &store{content: content}, 451},
		"endless header":  {with(func(*Signer) {}), long, 554},
		"key is a folder": {with(func(s *Signer) { s.Key, s.Optional = text(t, `"."`), true }), &store{content: content}, 451},
	} {
		_, err := c.rules.Prepare(t.Context(), c.store.letter())
		var refusal *Refusal
		if !errors.As(err, &refusal) || refusal.Reply.Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := &store{content: content}
	l := broken.letter()
	lost := errors.New("lost")
	l.Content = io.MultiReader(strings.NewReader(content[:105]), iotest.ErrReader(lost))
	var refusal *Refusal
	if _, err := with(func(*Signer) {}).Prepare(t.Context(), l); !errors.Is(err, lost) || errors.As(err, &refusal) {
		t.Errorf("content that cannot be read: %v", err)
	}
	l.Content = iotest.ErrReader(lost)
	if _, err := with(func(*Signer) {}).Prepare(t.Context(), l); !errors.Is(err, lost) || errors.As(err, &refusal) {
		t.Errorf("a header that cannot be read: %v", err)
	}
}

func TestReturnPath(t *testing.T) {
	r := &Rules{Returns: &returnpath.Rules{
		SRS: &srs.Rewriter{Domain: "srs.example", Secrets: [][]byte{[]byte("s")}, Length: 4, MaxAge: 21, Separator: '='},
		// It looks at the reverse-path that was decided on, not the sender's own.
		SRSIf: compile(t, `sender.address == "errors@corp.example"`),
	}}
	s := &store{content: content}
	for _, c := range []struct {
		from      string
		forwarded bool
		want      string
	}{{"errors", true, "SRS0="}, {"errors", false, "errors"}, {"a", true, "a"}} {
		l := s.letter()
		l.From, l.Forwarded = mail.Address{Local: c.from, Domain: "corp.example"}, c.forwarded
		f, got := prepare(t, r, l)
		if !strings.HasPrefix(f.From.Local, c.want) || got != content {
			t.Errorf("%+v: %s", c, f.From)
		}
		plain := s.letter()
		plain.From, plain.Forwarded = l.From, c.forwarded
		if f, _ := prepare(t, nil, plain); f.From != plain.From {
			t.Errorf("without rules: %s", f.From)
		}
	}
	local := s.letter()
	local.From, local.Forwarded, local.Delivers = mail.Address{Local: "errors", Domain: "corp.example"}, true, true
	if f, _ := prepare(t, r, local); f.From != local.From {
		t.Errorf("delivered here it is from %s", f.From)
	}
	if !r.Forwards() || (*Rules)(nil).Forwards() || (&Rules{}).Forwards() {
		t.Error("Forwards is wrong")
	}
	r.Returns.SRSIf = compile(t, `sender.domain.substring(100) == ""`)
	l := s.letter()
	l.From, l.Forwarded = mail.Address{Local: "a", Domain: "corp.example"}, true
	var refusal *Refusal
	if _, err := r.Prepare(t.Context(), l); !errors.As(err, &refusal) || refusal.Reply.Code != 451 {
		t.Errorf("a condition that fails: %v", err)
	}
}

// The chain is judged as the message arrived, and sealed as it goes out: with
// our signature, and without what was taken out.
func TestSealed(t *testing.T) {
	folder, record := keys(t)
	lookup := func(context.Context, string) ([]string, error) { return []string{record}, nil }
	sealer := Sealer{Signer: signer(t, folder), Servers: []string{"mx.corp.example", "filter.example"}, Lookup: lookup}
	sealer.If, sealer.Domain = nil, text(t, `"corp.example"`)
	sealer.Sign, sealer.Oversign = append([]string{"DKIM-Signature"}, dkim.DefaultOversign()...), nil
	other := sealer
	other.Name, other.Key = "second", text(t, `"none.pem"`) // never asked: the first decides
	r := &Rules{Sign: []Signer{signer(t, folder)}, Seal: []Sealer{sealer, other}}
	for name, body := range map[string]string{"small": "Hello.\r\n", "large": strings.Repeat("Hello, hello.\r\n", 10000)} {
		text := "Authentication-Results: filter.example; spf=pass smtp.mailfrom=x\r\nFrom: A <a@corp.example>\r\nSubject: x\r\nBcc: b@x.example\r\n\r\n" + body
		for hop := 1; hop <= 3; hop++ {
			s := &store{content: text}
			l := s.letter()
			if hop == 2 {
				l.Remove = []string{"Subject", "bcc"} // breaks what the first has signed
			}
			f, got := prepare(t, r, l)
			if f.BrokenChain != nil || !strings.HasPrefix(got, fmt.Sprintf("ARC-Seal: i=%d;", hop)) {
				t.Fatalf("%s, hop %d: %v: %.300s", name, hop, f.BrokenChain, got)
			}
			if !strings.Contains(got, fmt.Sprintf("ARC-Authentication-Results: i=%d; mx.corp.example;\r\n\tarc=%s;\r\n\tspf=pass", hop, map[bool]string{true: "none", false: "pass"}[hop == 1])) {
				t.Errorf("%s, hop %d: %.1500s", name, hop, got)
			}
			h, err := header.Read(bufio.NewReader(strings.NewReader(got)), maxHeader)
			if err != nil {
				t.Fatal(err)
			}
			chain := arc.Read(h)
			sum := canon.NewBody(canon.Relaxed)
			_, _ = io.WriteString(sum, body)
			if status, why, err := chain.Verify(t.Context(), h, sum.Sum(), lookup, time.Now()); status != arc.Pass || err != nil {
				t.Errorf("%s, hop %d: %s, %v, %v", name, hop, status, why, err)
			}
			text = got
		}
		s := &store{content: strings.Replace(text, "Hello", "Hullo", 1)}
		if f, got := prepare(t, r, s.letter()); f.BrokenChain == nil || !strings.Contains(got, "cv=fail") {
			t.Errorf("%s: a broken chain is sealed as a good one", name)
		}
		lost := *r
		lost.Seal = []Sealer{sealer}
		lost.Seal[0].Lookup = func(context.Context, string) ([]string, error) { return nil, errors.New("no answer") }
		s = &store{content: text}
		var refusal *Refusal
		if _, err := lost.Prepare(t.Context(), s.letter()); !errors.As(err, &refusal) || refusal.Reply.Enhanced != "4.4.3" {
			t.Errorf("%s: without DNS: %v", name, err)
		}
	}
	s := &store{content: "Subject: x\r\n\r\nx\r\n"}
	if _, got := prepare(t, r, s.letter()); got != s.content {
		t.Errorf("a message without From: %q", got)
	}
	l := (&store{content: content}).letter()
	l.Remove = []string{"From"}
	if f, got := prepare(t, r, l); strings.Contains(got, "ARC-") || f.Signatures != 0 {
		t.Errorf("a message whose From was taken out: %q", got)
	}
}

// TestSealedOverConversion: what a server does not take is converted before the
// seal is made, which says of the earlier chain what was found on arrival, not
// that we have broken it, and is over what goes out.
func TestSealedOverConversion(t *testing.T) {
	folder, record := keys(t)
	lookup := func(context.Context, string) ([]string, error) { return []string{record}, nil }
	sealer := Sealer{Signer: signer(t, folder), Servers: []string{"mx.corp.example"}, Lookup: lookup}
	sealer.If, sealer.Domain = nil, text(t, `"corp.example"`)
	sealer.Sign = []string{"DKIM-Signature"}
	r := &Rules{Sign: []Signer{signer(t, folder)}, Seal: []Sealer{sealer}}
	const top = "From: A <a@corp.example>\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
	long := "X-Long:" + strings.Repeat(" a", 600) + "\r\n" // repaired, though it stays the same to a relaxed signature
	for name, c := range map[string]struct {
		text, changed string
		form          canon.Form
		how           egress.Convert
	}{
		"small":   {top + "\r\nGr\u00fc\u00dfe\r\n", "Content-Transfer-Encoding: quoted-printable\r\n", canon.Relaxed, egress.Convert{}},
		"large":   {top + "\r\n" + strings.Repeat("Gr\u00fc\u00dfe, Gr\u00fc\u00dfe.\r\n", 10000), "Content-Transfer-Encoding: quoted-printable\r\n", canon.Simple, egress.Convert{}},
		"repairs": {long + top + "\r\n" + strings.Repeat("x", 3000) + "\r\n", "Content-Transfer-Encoding: quoted-printable\r\n", canon.Simple, egress.Convert{LongLines: egress.LinesRepair}},
	} {
		t.Run(name, func(t *testing.T) {
			first := *r
			first.Seal = []Sealer{sealer}
			first.Seal[0].Canon.Body = c.form
			_, arrived := prepare(t, &first, (&store{content: c.text}).letter())
			converted := func(content string) (Form, string) {
				l := (&store{content: content}).letter()
				if err := l.Fit(true, c.how); err != nil {
					t.Fatal(err)
				}
				return form(t, r, l) // its size is about right
			}
			f, got := converted(arrived)
			if f.BrokenChain != nil || !strings.HasPrefix(got, "ARC-Seal: i=2;") || !strings.Contains(got[:200], "cv=pass") || !strings.Contains(got, c.changed) {
				t.Fatalf("%v: %.2000s", f.BrokenChain, got)
			}
			in := bufio.NewReader(strings.NewReader(got))
			h, err := header.Read(in, maxHeader)
			if err != nil {
				t.Fatal(err)
			}
			body := canon.NewBody(canon.Relaxed)
			if _, err := in.WriteTo(body); err != nil {
				t.Fatal(err)
			}
			chain := arc.Read(h)
			if status, why, err := chain.Verify(t.Context(), h, body.Sum(), lookup, time.Now()); status != arc.Pass || err != nil {
				t.Errorf("what went out: %s, %v, %v", status, why, err)
			}
			// What was broken before is not mended by it.
			if f, got := converted(strings.Replace(arrived, "\r\n\r\n", "\r\n\r\nmore ", 1)); f.BrokenChain == nil || !strings.Contains(got, "cv=fail") {
				t.Error("a broken chain is sealed as a good one")
			}
			l := (&store{content: arrived}).letter()
			if err := l.Fit(true, c.how); err != nil {
				t.Fatal(err)
			}
			if lost := errors.New("lost"); l.stored == nil {
				t.Error("it is not converted")
			} else {
				for _, after := range []int{0, len(arrived) - 3} {
					l.Content, _ = l.Open()
					l.stored = func() (io.ReadCloser, error) {
						return io.NopCloser(io.MultiReader(strings.NewReader(arrived[:after]), iotest.ErrReader(lost))), nil
					}
					if _, err := r.Prepare(t.Context(), l); !errors.Is(err, lost) {
						t.Errorf("content that cannot be read after %d octets: %v", after, err)
					}
				}
			}
		})
	}
}

// TestChainTakenOut: without the fields of the chain that it came with a message
// begins a new one.
func TestChainTakenOut(t *testing.T) {
	folder, record := keys(t)
	lookup := func(context.Context, string) ([]string, error) { return []string{record}, nil }
	sealer := Sealer{Signer: signer(t, folder), Servers: []string{"mx.corp.example"}, Lookup: lookup}
	sealer.If, sealer.Domain = nil, text(t, `"corp.example"`)
	r := &Rules{Seal: []Sealer{sealer}}
	_, arrived := prepare(t, r, (&store{content: content}).letter())
	for remove, want := range map[string]string{"ARC-*": "ARC-Seal: i=1;", "ARC-Message-Signature": ""} {
		l := (&store{content: arrived}).letter()
		l.Remove = []string{remove}
		f, got := prepare(t, r, l)
		if want == "" {
			if !strings.Contains(got, "cv=fail") || f.BrokenChain == nil {
				t.Errorf("without %s: %v\n%s", remove, f.BrokenChain, got)
			}
			continue
		}
		if !strings.HasPrefix(got, want) || !strings.Contains(got, "cv=none") || strings.Contains(got, "i=2") {
			t.Errorf("without %s:\n%s", remove, got)
		}
	}
}

func TestAuthor(t *testing.T) {
	for field, want := range map[header.Field]string{
		"From: A <a@X.example>, b@y.example\r\n":      "a@x.example",
		"From: nobody, broken@@x, c@z.example\r\n":    "c@z.example",
		"From: nobody\r\n":                            "",
		"To: a@x.example\r\n":                         "",
		"From: \"a b\"@x.example\r\n":                 `"a b"@x.example`,
		"From: (one)a(two)@(three)\r\n x.example\r\n": "a@x.example",
	} {
		if got := author(header.Header{field}).String(); got != want {
			t.Errorf("%q: %q", field, got)
		}
	}
}
