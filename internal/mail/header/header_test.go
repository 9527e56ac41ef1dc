package header

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	long := "X: " + strings.Repeat("y", 10000) + "\r\n"
	for name, c := range map[string]struct {
		content string
		fields  []Field
		body    string
	}{
		"plain":              {"A: 1\r\nB: 2\r\n\r\nbody\r\n", []Field{"A: 1\r\n", "B: 2\r\n"}, "body\r\n"},
		"folded":             {"A: 1\r\n 2\r\n\t3\r\nB: 2\r\n\r\n", []Field{"A: 1\r\n 2\r\n\t3\r\n", "B: 2\r\n"}, ""},
		"no body":            {"A: 1\r\n", []Field{"A: 1\r\n"}, ""},
		"no line end":        {"A: 1\r\nB: 2", []Field{"A: 1\r\n", "B: 2\r\n"}, ""},
		"no header":          {"\r\nbody", nil, "body"},
		"nothing":            {"", nil, ""},
		"fold first":         {" A: 1\r\nB: 2\r\n\r\n", []Field{" A: 1\r\n", "B: 2\r\n"}, ""},
		"no name":            {"From me Mon\r\nB: 2\r\n\r\nx", []Field{"From me Mon\r\n", "B: 2\r\n"}, "x"},
		"white line":         {"A: 1\r\n \r\nB: 2\r\n\r\nx", []Field{"A: 1\r\n \r\n", "B: 2\r\n"}, "x"},
		"longer than buffer": {long + "B: 2\r\n\r\nx", []Field{Field(long), "B: 2\r\n"}, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			r := bufio.NewReaderSize(strings.NewReader(c.content), 64)
			h, err := Read(r, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.fields, []Field(h)); d != "" {
				t.Error(d)
			}
			rest, _ := io.ReadAll(r)
			if string(rest) != c.body {
				t.Errorf("body %q", rest)
			}
		})
	}
}

func TestReadIsBounded(t *testing.T) {
	endless := strings.NewReader(strings.Repeat("x", 5000))
	if _, err := Read(bufio.NewReaderSize(endless, 64), 1000); !errors.Is(err, ErrTooLong) {
		t.Errorf("%v", err)
	}
}

// What is read is written again octet by octet.
func FuzzReadKeepsOctets(f *testing.F) {
	f.Add("A: 1\r\n 2\r\n\r\nbody")
	f.Add("x\r\n\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.NewReplacer("\n", "\r\n").Replace(strings.ReplaceAll(s, "\r", ""))
		r := bufio.NewReaderSize(strings.NewReader(s), 16)
		h, err := Read(r, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(r)
		got := string(h.Bytes()) + string(rest)
		// A message that ends within its header gets the missing line ends.
		if got != s && got != s+"\r\n" && got != s+"\r\n\r\n" {
			t.Errorf("%q became %q", s, got)
		}
		if int64(len(h.Bytes())) != h.Size() {
			t.Error("Size is wrong")
		}
	})
}

func TestFieldParts(t *testing.T) {
	f := Field("Subject : one\r\n two \r\n")
	if f.Name() != "Subject" || !f.Is("subject") || f.Text() != "one two" || f.Value() != " one\r\n two " {
		t.Errorf("%q %q %q", f.Name(), f.Text(), f.Value())
	}
	for _, odd := range []Field{"no colon\r\n", " : x\r\n", "a b: x\r\n", ": x\r\n", "\xc3\xa9: x\r\n"} {
		if odd.Name() != "" {
			t.Errorf("%q has the name %q", odd, odd.Name())
		}
	}
}

func TestMakeEndsNothing(t *testing.T) {
	for value, want := range map[string]Field{
		"one":                     "X: one\r\n",
		"":                        "X:\r\n",
		"one\r\n\r\nEvil: 1":      "X: one\r\n\tEvil: 1\r\n",
		"one\nBcc: x@y\r":         "X: one\r\n\tBcc: x@y\r\n",
		"\n\n":                    "X:\r\n",
		"a\x00b":                  "X: a\r\n\tb\r\n",
		" folded\r\n  already \n": "X: folded\r\n\talready\r\n",
	} {
		if got := Make("X", value); got != want {
			t.Errorf("%q: %q, not %q", value, got, want)
		}
	}
}

func TestLookup(t *testing.T) {
	h := Header{"To: a\r\n", "cc: b\r\n", "TO: c\r\n"}
	if h.Get("to") != "To: a\r\n" || len(h.All("to")) != 2 || h.Get("bcc") != "" {
		t.Error("lookup fails")
	}
}
