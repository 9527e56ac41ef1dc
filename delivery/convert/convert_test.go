package convert

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset"
)

// converted is a message after its conversion; whether it was converted at all.
func converted(t *testing.T, text string, w Want) (string, bool, error) {
	t.Helper()
	s, err := Look(strings.NewReader(text))
	if err != nil {
		return "", false, err
	}
	p, err := s.Plan(w)
	if p == nil || err != nil {
		return text, false, err
	}
	got, err := io.ReadAll(p.Reader(iotest.OneByteReader(strings.NewReader(text))))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := io.ReadAll(p.Reader(strings.NewReader(text))); err != nil || !bytes.Equal(again, got) {
		t.Errorf("it depends on how the content is read: %v\n%q\n%q", err, got, again)
	}
	if int64(len(got)) > p.Size()+p.Size()/10+500 {
		t.Errorf("%d octets were announced, %d came", p.Size(), len(got))
	}
	return string(got), true, nil
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func TestConversions(t *testing.T) {
	long, word := strings.Repeat("x", 1500), strings.Repeat("word ", 300)
	for name, c := range map[string]struct {
		want     Want
		in, out  string
		is       error
		contains bool
	}{
		"nothing to do": {want: Want{true, true}, in: "Subject: x\n\nhi\n", out: "Subject: x\n\nhi\n"},
		"taken":         {want: Want{}, in: "Subject: x\n\nhü" + long + "\n", out: "Subject: x\n\nhü" + long + "\n"},
		"no MIME": {
			want: Want{SevenBit: true}, in: "Subject: x\n\nhü = a \n.\n",
			out: "Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\nh=C3=BC =3D a=20\n.\n",
		},
		"text": {
			want: Want{SevenBit: true}, in: "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding:\n 8bit\nX: y\n\nü\n\nend",
			out: "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\nX: y\n\n=C3=BC\n\nend",
		},
		"no text": {
			want: Want{SevenBit: true}, in: "MIME-Version: 1.0\nContent-Type: application/x\n\nü\n",
			out: "MIME-Version: 1.0\nContent-Type: application/x\nContent-Transfer-Encoding: base64\n\nw7wNCg==\n",
		},
		"parts": {
			want: Want{SevenBit: true},
			in: "MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\nContent-Type: multipart/mixed; boundary=\"b b\"\n\npré\n--b b\n\nplain\n" +
				"--b b\nContent-Type: text/html\nContent-Transfer-Encoding: 8bit\n\nü\n\n--b b  \nContent-Type: image/x\n\nüü\n--b b--\nafter é\n",
			out: "MIME-Version: 1.0\nContent-Transfer-Encoding: 7bit\nContent-Type: multipart/mixed; boundary=\"b b\"\n\npr??\n--b b\n\nplain\n" +
				"--b b\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n\n--b b  \nContent-Type: image/x\nContent-Transfer-Encoding: base64\n\nw7zDvA==\n--b b--\nafter ??\n",
		},
		"message within": {
			want: Want{SevenBit: true},
			in: "MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: inner\n\nü\n--a\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\n" +
				"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nö\n--a--\n",
			out: "MIME-Version: 1.0\nContent-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: inner\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n" +
				"--a\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Transfer-Encoding: quoted-printable\n\n=C3=B6\n--a--\n",
		},
		"signed": {
			want: Want{SevenBit: true}, is: ErrSealed,
			in: "MIME-Version: 1.0\nContent-Type: multipart/signed; boundary=a\n\n--a\nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\nü\n--a--\n",
		},
		"signed, elsewhere": {
			want: Want{SevenBit: true},
			in:   "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/signed; boundary=a\n\n--a\n\nx\n--a--\n--o\n\nü\n--o--\n",
			out:  "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/signed; boundary=a\n\n--a\n\nx\n--a--\n--o\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n--o--\n",
		},
		"encrypted, preamble": {
			want: Want{SevenBit: true}, is: ErrSealed,
			in: "Content-Type: multipart/encrypted; boundary=a\n\nü\n--a\n\nx\n--a--\n",
		},
		"not what it says": {want: Want{SevenBit: true}, is: ErrEncoded, in: "Content-Transfer-Encoding: base64\n\nü\n"},
		"long line":        {want: Want{Lines: true}, in: "MIME-Version: 1.0\n\n" + long + "\nü\n", out: "Content-Transfer-Encoding: quoted-printable\n\nxxx", contains: true},
		"long line, kept":  {want: Want{SevenBit: true}, in: "MIME-Version: 1.0\n\n" + long + "\n", out: "MIME-Version: 1.0\n\n" + long + "\n"},
		"long header": {
			want: Want{Lines: true}, in: "Subject: " + word + "\n\nhi\n",
			out: "Subject: " + word[:984] + "\n" + word[984:] + "\n\nhi\n",
		},
		"long word": {want: Want{Lines: true}, in: "Subject: " + long + "\n\nhi\n", out: "Subject:\n " + long + "\n\nhi\n"},
		"long base64": {
			want: Want{Lines: true}, in: "Content-Transfer-Encoding: base64\n\n" + strings.Repeat("QUJD", 300) + "\n",
			out: "\n" + strings.Repeat("QUJD", 300)[:75] + "\nDQUJD", contains: true,
		},
		"long quoted": {
			want: Want{Lines: true}, in: "Content-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("=C3=BC", 300) + "\n",
			out: "=BC=\n=C3", contains: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, changed, err := converted(t, crlf(c.in), c.want)
			if !errors.Is(err, c.is) {
				t.Fatalf("%v, want %v", err, c.is)
			}
			switch {
			case err != nil:
			case c.contains && !strings.Contains(got, crlf(c.out)), !c.contains && got != crlf(c.out):
				t.Errorf("got\n%s\nwant\n%s", got, crlf(c.out))
			case changed == (c.in == c.out):
				t.Errorf("changed: %v", changed)
			}
		})
	}
}

// leaves are the decoded bodies of a message, as another library reads them.
func leaves(t *testing.T, text string) []string {
	t.Helper()
	m, err := message.Read(strings.NewReader(text))
	if err != nil && !message.IsUnknownCharset(err) {
		return nil
	}
	var list []string
	_ = m.Walk(func(_ []int, e *message.Entity, _ error) error {
		if e == nil || e.MultipartReader() != nil {
			return nil
		}
		body, err := io.ReadAll(e.Body)
		if err != nil {
			list = append(list, "cannot be read")
			return nil
		}
		list = append(list, string(body))
		return nil
	})
	return list
}

// TestSameForOthers: go-message reads the same of what was converted, and
// nothing in it is beyond what the server takes.
func TestSameForOthers(t *testing.T) {
	text := "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=o\n\n"
	for i, kind := range []string{"text/plain; charset=utf-8", "text/html; charset=utf-8", "application/x", "image/y"} {
		for j, body := range []string{"", "a", "ü", "\n", "ü\n", strings.Repeat("ü ", 2000), strings.Repeat("= \t\n", 500) + "ü", "From ü\n.\n..\n"} {
			text += fmt.Sprintf("--o\nContent-Type: %s\nX: %d %d\n\n%s\n", kind, i, j, body)
		}
	}
	text = crlf(text + "--o--\n")
	got, changed, err := converted(t, text, Want{SevenBit: true, Lines: true})
	if err != nil || !changed {
		t.Fatal(err)
	}
	was, is := leaves(t, text), leaves(t, got)
	if len(was) != 32 || len(is) != len(was) {
		t.Fatalf("%d and %d parts", len(was), len(is))
	}
	for i := range was {
		if was[i] != is[i] {
			t.Errorf("part %d was %q and is %q", i, was[i], is[i])
		}
	}
	fits(t, got)
	m, err := mail.ReadMessage(strings.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	for r, n := multipart.NewReader(m.Body, params["boundary"]), 0; ; n++ {
		if _, err := r.NextRawPart(); errors.Is(err, io.EOF) && n == len(was) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func fits(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if len(strings.TrimRight(line, "\r\n")) > MaxLine || !strings.HasSuffix(line, "\r\n") {
			t.Errorf("line of %d octets, %q at its end", len(line), line[max(0, len(line)-4):])
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r >= 0x80 }) {
			t.Errorf("beyond ASCII: %q", line)
		}
	}
}

// TestLimits: what is deeper or larger than is looked at is told, not guessed.
func TestLimits(t *testing.T) {
	deep := ""
	for i := range maxDepth + 2 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	for name, text := range map[string]string{
		"header": "X: " + strings.Repeat("y\n ", maxHeader/2),
		"depth":  deep + "\nü\n",
		"parts":  "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", maxParts+1),
	} {
		if _, err := Look(strings.NewReader(crlf(text))); !errors.Is(err, ErrTooComplex) {
			t.Errorf("%s: %v", name, err)
		}
	}
	boom := errors.New("boom")
	if _, err := Look(io.MultiReader(strings.NewReader("a: b\r\n\r\nx"), iotest.ErrReader(boom))); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
}

// FuzzConversion: a message that can be converted fits afterwards, but for its
// headers, and converting it once more changes nothing.
func FuzzConversion(f *testing.F) {
	f.Add("Content-Type: multipart/mixed; boundary=a\n\n--a\n\nü\n--a--\n")
	f.Add("Content-Transfer-Encoding: quoted-printable\n\n=C3\n" + strings.Repeat("=AA", 400))
	f.Add("Subject: x\n\nü")
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(strings.ReplaceAll(text, "\r", ""), "\n", "\r\n")
		got, changed, err := converted(t, text, Want{SevenBit: true, Lines: true})
		if err != nil || !changed {
			return
		}
		s, err := Look(strings.NewReader(got))
		if err != nil {
			t.Fatal(err)
		}
		for i := range s.parts {
			if s.parts[i].eight || s.parts[i].long {
				t.Errorf("part %d does not fit: %q from %q", i, got, text)
			}
		}
	})
}
