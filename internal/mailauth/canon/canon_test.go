package canon

import (
	"bytes"
	"crypto/sha256"
	"io"
	"regexp"
	"strings"
	"testing"

	"quorumta/internal/mail/header"
)

// The examples of RFC 6376, section 3.4.5.
func TestExamplesOfTheRFC(t *testing.T) {
	for field, want := range map[header.Field]string{
		"A: X\r\n":                "a:X\r\n",
		"B : Y\t\r\n\tZ  \r\n":    "b:Y Z\r\n",
		"C:\r\n":                  "c:\r\n",
		"D: \r\n  \r\n x\t\t\r\n": "d:x\r\n",
	} {
		if got := Relaxed.Field(field); got != want {
			t.Errorf("%q: %q, not %q", field, got, want)
		}
		if got := Simple.Field(field); got != string(field) {
			t.Errorf("%q: %q", field, got)
		}
	}
	body := " C \r\nD \t E\r\n\r\n\r\n"
	if got := sum(Relaxed, body); got != sha256.Sum256([]byte(" C\r\nD E\r\n")) {
		t.Error("relaxed body differs")
	}
	if got := sum(Simple, body); got != sha256.Sum256([]byte(" C \r\nD \t E\r\n")) {
		t.Error("simple body differs")
	}
}

func sum(f Form, body string) [sha256.Size]byte {
	b := NewBody(f)
	_, _ = io.WriteString(b, body)
	return [sha256.Size]byte(b.Sum())
}

var (
	white    = regexp.MustCompile(`[ \t]+`)
	trailing = regexp.MustCompile(`[ \t]+\r\n`)
)

// plain does on a whole body what Body does while it streams.
func plain(f Form, body string) string {
	if body != "" && !strings.HasSuffix(body, "\r\n") {
		body += "\r\n"
	}
	if f == Relaxed {
		body = trailing.ReplaceAllString(body, "\r\n")
		body = white.ReplaceAllString(body, " ")
	}
	for strings.HasSuffix(body, "\r\n\r\n") {
		body = body[:len(body)-2]
	}
	if body == "\r\n" || body == "" {
		body = ""
		if f == Simple {
			body = "\r\n"
		}
	}
	return body
}

func FuzzBody(f *testing.F) {
	for _, s := range []string{
		"", "\r\n", "\r\n\r\n", "a", "a\r\n", "a \t\r\n \r\n\t\r\n", " a  b\tc\r\n\r\n\r\nd ", "\ra\r\r\n\nb\n", "x\r",
		strings.Repeat("word ", 3000) + "\r\n" + strings.Repeat("\r\n", 5000) + "end", strings.Repeat("a", 10000),
		"tab\tin  it\r\n", "a \r", " \r \r\n",
	} {
		f.Add(s, 7)
	}
	f.Fuzz(func(t *testing.T, s string, size int) {
		for _, form := range []Form{Simple, Relaxed} {
			want := sha256.Sum256([]byte(plain(form, s)))
			b := NewBody(form)
			for p := []byte(s); len(p) > 0; {
				n := min(len(p), max(1, size%100))
				_, _ = b.Write(p[:n])
				p = p[n:]
			}
			if !bytes.Equal(b.Sum(), want[:]) {
				t.Errorf("%s of %q differs in pieces of %d", form, s, size)
			}
		}
	})
}

func TestParsePair(t *testing.T) {
	for s, want := range map[string]Pair{
		"": {Simple, Simple}, "relaxed": {Relaxed, Simple}, "simple/relaxed": {Simple, Relaxed},
	} {
		if p, ok := ParsePair(s); !ok || p != want {
			t.Errorf("%q: %v %v", s, p, ok)
		}
	}
	if _, ok := ParsePair("nofws"); ok {
		t.Error("nofws is taken")
	}
	if s := (Pair{Relaxed, Simple}).String(); s != "relaxed/simple" {
		t.Error(s)
	}
}

func BenchmarkBody(b *testing.B) {
	text := []byte(strings.Repeat("Some words that make a line of mail, as people write it.\r\n", 1000))
	for _, form := range []Form{Simple, Relaxed} {
		b.Run(string(form), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				body := NewBody(form)
				_, _ = body.Write(text)
				body.Sum()
			}
		})
	}
}
