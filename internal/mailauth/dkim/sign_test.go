package dkim

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"quorumta/internal/mail/header"
	"quorumta/internal/mailauth/authtest"
	"quorumta/internal/mailauth/canon"
)

func TestMain(m *testing.M) { authtest.Main(m) }

// pair is a key and its record (RFC 6376, section 3.6.1).
type pair struct {
	key    *Key
	record string
}

func rsaPair(t testing.TB, pkcs8 bool) pair {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)}
	if pkcs8 {
		block.Type = "PRIVATE KEY"
		block.Bytes, _ = x509.MarshalPKCS8PrivateKey(private)
	}
	key, err := ParseKey(pem.EncodeToMemory(block))
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return pair{key, "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)}
}

func ed25519Pair(t testing.TB) pair {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	return pair{key, "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)}
}

// messages are such as are hard to sign.
var messages = map[string]string{
	"plain":          "Date: Mon, 2 Jan 2006 15:04:05 -0700\r\nFrom: a@example.org\r\nTo: b@example.net\r\nSubject: hello\r\nMessage-ID: <1@example.org>\r\n\r\nHello.\r\n",
	"no body":        "Date: Mon, 2 Jan 2006 15:04:05 -0700\r\nFrom: a@example.org\r\nTo: b@example.net\r\nSubject: x\r\n\r\n",
	"trailing lines": "Date: Mon, 2 Jan 2006 15:04:05 -0700\r\nFrom: a@example.org\r\nSubject: x\r\n\r\n\r\n\r\none \t \r\n  two\t words  \r\n\r\n \r\n\r\n",
	"only lines":     "Date: Mon, 2 Jan 2006 15:04:05 -0700\r\nFrom: a@example.org\r\nSubject: x\r\n\r\n\r\n\r\n\r\n",
	"folded":         "Date: Mon, 2 Jan 2006 15:04:05 -0700\r\nFrom:\r\n  =?utf-8?q?A=C3=A9?=\r\n\t<a@example.org>\r\nSUBJECT  :   one   two\t \r\n three \r\n\tfour\r\nto:b@example.net,\r\n c@example.net\r\nX-Empty:\r\nX-White: \r\n\r\nx\r\n",
	"repeated":       "Date: Mon, 2 Jan 2006 15:04:05 -0700\r\nReceived: one\r\nReceived: two\r\nFrom: a@example.org\r\nTo: b@example.net\r\nSubject: one\r\nComments: 1\r\nSubject: two\r\nList-Id: <l.example.org>\r\nComments: 2\r\n\r\nx\r\n",
	"8-bit":          "Date: Mon, 2 Jan 2006 15:04:05 -0700\r\nFrom: a@example.org\r\nSubject: caf\xe9 \x01\r\nContent-Transfer-Encoding: 8bit\r\n\r\nna\xefve \xff\xfe\r\n\xc3\xa9\r\n",
	"long lines":     "Date: Mon, 2 Jan 2006 15:04:05 -0700\r\nFrom: a@example.org\r\nSubject: " + strings.Repeat("long ", 180) + "\r\nTo: " + strings.Repeat("someone@example.net,\r\n ", 300) + "b@example.net\r\n\r\n" + strings.Repeat("x", 5000) + "\r\n" + strings.Repeat("word  ", 150) + "\r\n",
	"UTF-8":          "Date: Mon, 2 Jan 2006 15:04:05 -0700\r\nFrom: Jos\u00e9 <jos\u00e9@example.org>\r\nTo: \u7528\u6237@example.net\r\nSubject: \u4f60\u597d\r\n\r\n\u4e16\u754c\r\n",
	"dots":           "Date: Mon, 2 Jan 2006 15:04:05 -0700\r\nFrom: a@example.org\r\nSubject: .\r\n\r\n.\r\n..\r\n.x\r\n",
	"large":          "Date: Mon, 2 Jan 2006 15:04:05 -0700\r\nFrom: a@example.org\r\nSubject: large\r\n\r\n" + strings.Repeat("A line of text.\r\n\r\n", 20000),
}

// sign puts signatures before a message, as delivery does.
func sign(t testing.TB, message string, signatures ...Signature) []byte {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(message))
	h, err := header.Read(r, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, s := range signatures {
		b := canon.NewBody(s.Canon.Body)
		_, _ = b.Write(body)
		field, err := s.Field(h, b.Sum(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(string(field), "\r\n"), "\r\n") {
			if len(line) > 100 {
				t.Errorf("a line of %d octets", len(line))
			}
		}
		out = append(out, field...)
	}
	return append(out, message...)
}

func signatures(rsa, ed pair, form canon.Pair) []Signature {
	one := Signature{
		Domain: "example.org", Selector: "r2026._x", Identity: "some one;=@mail.example.org", Key: rsa.key, Canon: form,
		Sign: append(DefaultSign(), "Comments"), Oversign: DefaultOversign(), Expire: time.Hour,
	}
	two := Signature{
		Domain: "example.org", Selector: "e", Key: ed.key, Canon: form, Oversign: []string{"from", "Subject"},
	}
	return []Signature{one, two}
}

var forms = []canon.Pair{
	{Header: canon.Relaxed, Body: canon.Relaxed}, {Header: canon.Simple, Body: canon.Simple},
	{Header: canon.Relaxed, Body: canon.Simple}, {Header: canon.Simple, Body: canon.Relaxed},
}

// Another implementation of ours in the process verifies all of them, in all
// forms.
func TestVerifiedByGoMsgauth(t *testing.T) {
	r, e := rsaPair(t, true), ed25519Pair(t)
	lookup := func(name string) ([]string, error) {
		switch name {
		case "r2026._x._domainkey.example.org":
			return []string{r.record}, nil
		case "e._domainkey.example.org":
			return []string{e.record}, nil
		}
		return nil, errors.New("no such key: " + name)
	}
	for name, message := range messages {
		for _, form := range forms {
			signed := sign(t, message, signatures(r, e, form)...)
			found, err := dkim.VerifyWithOptions(bytes.NewReader(signed), &dkim.VerifyOptions{LookupTXT: lookup})
			if err != nil || len(found) != 2 {
				t.Fatalf("%s, %s: %v, %d signatures", name, form, err, len(found))
			}
			for _, v := range found {
				if v.Err != nil {
					t.Errorf("%s, %s: %v", name, form, v.Err)
				}
			}
			if found[0].Expiration.Before(time.Now()) || found[0].Identifier != "some=20one=3B=3D@mail.example.org" {
				t.Errorf("%s: expires %v, identity %q", name, found[0].Expiration, found[0].Identifier)
			}
		}
	}
}

func records(r, e pair) map[string]string {
	return map[string]string{"r2026._x._domainkey.example.org": r.record, "e._domainkey.example.org": e.record}
}

func TestVerifiedByOpenDKIM(t *testing.T) {
	r, e := rsaPair(t, false), ed25519Pair(t)
	txt := records(r, e)
	for name, message := range messages {
		if name == "repeated" {
			continue // two Subjects: OpenDKIM refuses to look at it
		}
		form := forms[len(name)%2]
		t.Run(name+" "+form.String(), func(t *testing.T) {
			signed := sign(t, message, signatures(r, e, form)[:1]...)
			if out, err := authtest.Run(t, txt, signed, "opendkim-tools", "opendkim-testmsg", "-C"); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	t.Run("finds a change", func(t *testing.T) {
		signed := sign(t, messages["plain"], signatures(r, e, forms[0])[:1]...)
		signed = bytes.Replace(signed, []byte("Hello."), []byte("Hullo."), 1)
		if out, err := authtest.Run(t, txt, signed, "opendkim-tools", "opendkim-testmsg", "-C"); err == nil {
			t.Errorf("verified: %s", out)
		}
	})
}

// manyMessages has dkimpy verify two signatures of each message: its own command
// takes one of one, and a second to start.
const manyMessages = `
import base64, sys, dkim
for line in sys.stdin:
    name, text = line.split("\t")
    for index in (0, 1):
        try:
            print(name, index, dkim.DKIM(base64.b64decode(text)).verify(idx=index))
        except Exception as e:
            print(name, index, e)
`

func TestVerifiedByDkimpy(t *testing.T) {
	r, e := rsaPair(t, true), ed25519Pair(t)
	txt := records(r, e)
	var lines strings.Builder
	want := map[string]bool{}
	for name, message := range messages {
		// A space before the colon (RFC 5322, section 4.5.8) is beyond it.
		signed := sign(t, strings.ReplaceAll(message, "SUBJECT  :", "SUBJECT:"), signatures(r, e, forms[len(want)%len(forms)])...)
		name = strings.ReplaceAll(name, " ", "-")
		lines.WriteString(name + "\t" + base64.StdEncoding.EncodeToString(signed) + "\n")
		want[name+" 0 True"], want[name+" 1 True"] = true, true
	}
	out, err := authtest.Run(t, txt, []byte(lines.String()), "python3-dkim", "/usr/bin/python3", "-c", manyMessages)
	if err != nil {
		t.Fatal(err, out)
	}
	for line := range strings.SplitSeq(out, "\n") {
		if !want[line] {
			t.Error(line)
		}
		delete(want, line)
	}
	if len(want) > 0 {
		t.Errorf("not told of: %v", want)
	}
	signed := sign(t, messages["plain"], signatures(r, e, forms[0])...)
	added := append([]byte("Subject: another\r\n"), signed...)
	for _, index := range []string{"0", "1"} {
		verify := func(message []byte) (string, error) {
			return authtest.Run(t, txt, message, "python3-dkim", "/usr/bin/python3", "/usr/bin/dkimverify", "--index", index)
		}
		if out, err := verify(signed); err != nil || out != "signature ok" {
			t.Errorf("signature %s: %v: %s", index, err, out)
		}
		if out, err := verify(added); err == nil || out == "signature ok" {
			t.Errorf("signature %s of a field that was oversigned holds: %s", index, out)
		}
	}
}

func TestRefusedKeys(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"short":   pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(short)}),
		"empty":   nil,
		"no PEM":  []byte("hello"),
		"public":  pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1}}),
		"garbage": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}),
	} {
		if _, err := ParseKey(text); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestRefusedValues(t *testing.T) {
	e := ed25519Pair(t)
	h := header.Header{"From: a@example.org\r\n"}
	for name, change := range map[string]func(*Signature){
		"domain":          func(s *Signature) { s.Domain = "exa mple.org" },
		"line end":        func(s *Signature) { s.Selector = "a\r\nb" },
		"no selector":     func(s *Signature) { s.Selector = "" },
		"other identity":  func(s *Signature) { s.Identity = "@example.net" },
		"no identity":     func(s *Signature) { s.Identity = "example.org" },
		"sibling domain":  func(s *Signature) { s.Identity = "@notexample.org" },
		"upper case":      func(s *Signature) { s.Domain = "Example.org" },
		"endless label":   func(s *Signature) { s.Domain = strings.Repeat("a", 64) + ".org" },
		"injected clause": func(s *Signature) { s.Domain = "example.org; l=0" },
	} {
		s := Signature{Domain: "example.org", Selector: "s", Key: e.key, Canon: forms[0]}
		change(&s)
		if f, err := s.Field(h, make([]byte, 32), time.Now()); err == nil {
			t.Errorf("%s: signed: %s", name, f)
		}
	}
	s := Signature{Domain: "example.org", Selector: "s", Key: e.key, Canon: forms[0]}
	if _, err := s.Field(header.Header{"To: a@example.org\r\n"}, nil, time.Now()); !errors.Is(err, ErrNoAuthor) {
		t.Errorf("a message without From: %v", err)
	}
}

func TestUnsigned(t *testing.T) {
	for signed, want := range map[header.Field]header.Field{
		"S: a=1; b=xyz; c=2\r\n":           "S: a=1; b=; c=2\r\n",
		"S: bh=1;\r\n b =\r\n x\r\n y\r\n": "S: bh=1;\r\n b =\r\n",
		"S: b=x;\r\n":                      "S: b=;\r\n",
		"S: bb=x\r\n":                      "S: bb=x\r\n",
	} {
		if got := Unsigned(signed); got != want {
			t.Errorf("%q: %q, not %q", signed, got, want)
		}
	}
}

func TestParseTags(t *testing.T) {
	tags, err := ParseTags(" v=1; h=From:\r\n\t To ; b=ab\r\n cd=;\r\n")
	if err != nil || tags["h"] != "From:To" || tags["b"] != "abcd=" || tags["v"] != "1" {
		t.Errorf("%v, %v", tags, err)
	}
	for _, s := range []string{"a=1; a=2", "nothing", "=1", "a=1;;b=2"} {
		if tags, err := ParseTags(s); err == nil {
			t.Errorf("%q: %v", s, tags)
		}
	}
}

func BenchmarkField(b *testing.B) {
	message := "Received: x\r\nReceived: y\r\nFrom: a@example.org\r\nTo: b@example.net\r\nSubject: s\r\nDate: d\r\n" +
		"Message-ID: <1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" + strings.Repeat("A line of sixty-four octets, as mail of ten kilobytes has it..\r\n", 160)
	for name, p := range map[string]pair{"rsa-2048": rsaPair(b, true), "ed25519": ed25519Pair(b)} {
		b.Run(name, func(b *testing.B) {
			s := Signature{
				Domain: "example.org", Selector: "s", Key: p.key, Canon: forms[0], Sign: DefaultSign(), Oversign: DefaultOversign(),
			}
			b.ReportAllocs()
			for b.Loop() {
				sign(b, message, s)
			}
		})
	}
}
