package arc

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quorumta/internal/mail/header"
	"quorumta/internal/mailauth/authtest"
	"quorumta/internal/mailauth/canon"
	"quorumta/internal/mailauth/dkim"
)

func TestMain(m *testing.M) { authtest.Main(m) }

const message = "Authentication-Results: mx.example.org; spf=pass smtp.mailfrom=a@example.net;\r\n\tdkim=pass (one; two) header.d=example.net\r\n" +
	"Authentication-Results: elsewhere.example; dkim=fail\r\n" +
	"From: Ann <a@example.net>\r\nTo: b@example.org\r\nSubject:  hello \r\nDate: Mon, 2 Jan 2006 15:04:05 -0700\r\nMessage-ID: <1@example.net>\r\n\r\n" +
	"Hello  there. \r\n\r\n"

// relay seals with a key of its own.
type relay struct {
	dkim.Signature
	pem    []byte
	record string
}

func newRelay(t *testing.T, domain string, small bool) *relay {
	t.Helper()
	r := &relay{}
	if small {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, _ := x509.MarshalPKCS8PrivateKey(private)
		r.pem = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		r.record = "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
	} else {
		private, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		r.pem = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})
		public, _ := x509.MarshalPKIXPublicKey(&private.PublicKey)
		r.record = "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)
	}
	key, err := dkim.ParseKey(r.pem)
	if err != nil {
		t.Fatal(err)
	}
	r.Signature = dkim.Signature{
		Domain: domain, Selector: "arc", Key: key, Canon: canon.Pair{Header: canon.Relaxed, Body: canon.Relaxed},
		Sign: append(dkim.DefaultSign(), dkim.DefaultOversign()...),
	}
	return r
}

type world map[string]string

func names(relays ...*relay) world {
	w := world{}
	for _, r := range relays {
		w[dkim.RecordName("arc", r.Domain)] = r.record
	}
	return w
}

func (w world) lookup(_ context.Context, name string) ([]string, error) {
	if record, ok := w[name]; ok {
		return []string{record}, nil
	}
	return nil, fmt.Errorf("%s: %w", name, ErrNoRecord)
}

func parse(t *testing.T, text string) (header.Header, string) {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(text))
	h, err := header.Read(r, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(r)
	return h, string(body)
}

func sum(f canon.Form, body string) []byte {
	b := canon.NewBody(f)
	_, _ = io.WriteString(b, body)
	return b.Sum()
}

func (w world) status(t *testing.T, text string) (Status, error) {
	t.Helper()
	h, body := parse(t, text)
	c := Read(h)
	form, _ := c.Body()
	s, why, err := c.Verify(t.Context(), h, sum(form, body), w.lookup, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return s, why
}

// seal puts the relay's set before the text.
func (w world) seal(t *testing.T, r *relay, text string) string {
	t.Helper()
	h, body := parse(t, text)
	c := Read(h)
	found, _ := w.status(t, text)
	set, err := c.Seal(h, found, sum(r.Canon.Body, body), "mx.example.org", Results(h, []string{"mx.example.org"}), r.Signature, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(set.Bytes()), "\r\n") + text
}

func (w world) arcverify(t *testing.T, text string) string {
	t.Helper()
	out, err := authtest.Run(t, w, []byte(text), "python3-dkim", "/usr/bin/python3", "/usr/bin/arcverify")
	if err != nil && !strings.Contains(out, "arc verification") {
		t.Fatal(err, out)
	}
	return out
}

// A chain of three relays, two of them ours, one dkimpy's, verifies at each end
// with each of both.
func TestChainWithDkimpy(t *testing.T) {
	one, two, three := newRelay(t, "one.example", false), newRelay(t, "two.example", false), newRelay(t, "three.example", false)
	w := names(one, two, three)
	if s, why := w.status(t, message); s != None {
		t.Fatalf("unsealed: %s, %v", s, why)
	}
	text := w.seal(t, one, message)
	check := func(who string) {
		t.Helper()
		if s, why := w.status(t, text); s != Pass {
			t.Errorf("%s: we say %s, %v", who, s, why)
		}
		if out := w.arcverify(t, text); !strings.Contains(out, "cv=b'pass'") {
			t.Errorf("%s: dkimpy says %s", who, out)
		}
	}
	check("one")
	if !strings.Contains(text, "ARC-Authentication-Results: i=1; mx.example.org;\r\n\tarc=none;\r\n\tspf=pass smtp.mailfrom=a@example.net;\r\n\tdkim=pass (one; two) header.d=example.net\r\n") {
		t.Errorf("results: %s", text)
	}
	key := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(key, two.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	theirs, err := authtest.Run(t, w, []byte("Authentication-Results: mx.two.example; arc=pass\r\n"+text),
		"python3-dkim", "/usr/bin/python3", "/usr/bin/arcsign", "arc", "two.example", key, "mx.two.example")
	if err != nil {
		t.Fatal(err, theirs)
	}
	// Run trims what was printed: the body ends otherwise, which no form minds.
	text = theirs + "\r\n"
	if !strings.HasPrefix(text, "ARC-Seal: i=2; cv=pass;") {
		t.Fatalf("dkimpy's seal: %.300s", text)
	}
	check("two")
	text = w.seal(t, three, text)
	if !strings.Contains(text, "ARC-Seal: i=3;") || !strings.Contains(text, "cv=pass; d=three.example") {
		t.Errorf("the third seal: %.600s", text)
	}
	check("three")
}

func TestEd25519AndForms(t *testing.T) {
	one, two := newRelay(t, "one.example", true), newRelay(t, "two.example", true)
	one.Canon = canon.Pair{Header: canon.Simple, Body: canon.Simple}
	w := names(one, two)
	text := w.seal(t, two, w.seal(t, one, message))
	if s, why := w.status(t, text); s != Pass {
		t.Errorf("%s, %v", s, why)
	}
}

func TestBrokenChains(t *testing.T) {
	one, two := newRelay(t, "one.example", true), newRelay(t, "two.example", true)
	w := names(one, two)
	good := w.seal(t, two, w.seal(t, one, message))
	cut := func(text, name string, instance int) string {
		h, body := parse(t, text)
		h = slices.DeleteFunc(h, func(f header.Field) bool {
			return f.Is(name) && strings.Contains(string(f), fmt.Sprintf("i=%d;", instance))
		})
		return string(h.Bytes()) + body
	}
	for name, text := range map[string]string{
		"body":            strings.Replace(good, "Hello", "Hullo", 1),
		"field":           strings.Replace(good, "Subject:  hello", "Subject:  hallo", 1),
		"results":         strings.Replace(good, "arc=none", "arc=pass", 1),
		"no first seal":   cut(good, sealName, 1),
		"no results":      cut(good, resultsName, 2),
		"no signature":    cut(good, messageName, 2),
		"a gap":           cut(cut(cut(good, sealName, 1), messageName, 1), resultsName, 1),
		"twice":           "ARC-Seal: i=1; cv=none\r\n" + good,
		"instance":        strings.Replace(good, "ARC-Seal: i=2", "ARC-Seal: i=51", 1),
		"no tags":         strings.Replace(good, "ARC-Seal: i=2", "ARC-Seal: nothing; i=2", 1),
		"cv of the first": strings.Replace(good, "cv=none", "cv=pass", 1),
		"a tag h":         strings.Replace(good, "ARC-Seal: i=2;", "ARC-Seal: i=2; h=From;", 1),
		"half a body":     strings.Replace(good, "ARC-Message-Signature: i=2;", "ARC-Message-Signature: i=2; l=3;", 1),
		"expired":         strings.Replace(good, "ARC-Message-Signature: i=2;", "ARC-Message-Signature: i=2; x=100;", 1),
		"another key":     strings.Replace(good, "d=two.example", "d=one.example", 1),
		"no key":          strings.Replace(good, "d=two.example", "d=none.example", 1),
		"no name":         strings.Replace(good, "d=two.example", "d=two..example", 1),
	} {
		if text == good {
			t.Fatalf("%s: nothing is changed", name)
		}
		s, why := w.status(t, text)
		if s != Fail || why == nil {
			t.Errorf("%s: %s, %v", name, s, why)
		}
	}
}

// What is broken is sealed as such once, over the new set alone, and then no
// more.
func TestBrokenIsSealedOnce(t *testing.T) {
	one, two := newRelay(t, "one.example", false), newRelay(t, "two.example", false)
	w := names(one, two)
	text := w.seal(t, two, strings.Replace(w.seal(t, one, message), "Hello", "Hullo", 1))
	if !strings.Contains(text, "cv=fail; d=two.example") {
		t.Errorf("%.600s", text)
	}
	if s, _ := w.status(t, text); s != Fail {
		t.Errorf("it is %s", s)
	}
	if out := w.arcverify(t, text); !strings.Contains(out, "ARC-Seal[2] reported failure, the chain is terminated") {
		t.Errorf("dkimpy says %s", out)
	}
	h, _ := parse(t, text)
	if c := Read(h); c.Sealable() {
		t.Error("it would be sealed once more")
	}
	h, _ = parse(t, "ARC-Seal: i=50; cv=pass\r\n"+message)
	if c := Read(h); c.Sealable() {
		t.Error("a chain of fifty would be sealed")
	}
}

func TestLookupFailsForNow(t *testing.T) {
	one := newRelay(t, "one.example", true)
	text := names(one).seal(t, one, message)
	h, body := parse(t, text)
	c := Read(h)
	lost := errors.New("no answer")
	_, why, err := c.Verify(t.Context(), h, sum(canon.Relaxed, body), func(context.Context, string) ([]string, error) { return nil, lost }, time.Now())
	if !errors.Is(err, lost) || why != nil {
		t.Errorf("%v, %v", why, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("ARC-Seal: i=1; cv=none\r\nARC-Message-Signature: i=1; c=relaxed; h=From; b=x\r\nARC-Authentication-Results: i=1; x\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := header.Read(bufio.NewReader(strings.NewReader(text)), 1<<20)
		if err != nil {
			return
		}
		c := Read(h)
		c.Body()
		if s, _, err := c.Verify(t.Context(), h, nil, world{}.lookup, time.Time{}); s == Pass || err != nil {
			t.Errorf("%q: %s, %v", text, s, err)
		}
		Results(h, []string{"x"})
	})
}
