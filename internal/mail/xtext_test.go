package mail

import (
	"errors"
	"testing"
)

func TestXText(t *testing.T) {
	tests := []struct{ plain, xtext string }{
		{"", ""},
		{"abc!~", "abc!~"},
		{"a+b=c d", "a+2Bb+3Dc+20d"},
		{"rfc822;jörg@x.org", "rfc822;j+C3+B6rg@x.org"},
	}
	for _, tt := range tests {
		if got := XText(tt.plain); got != tt.xtext {
			t.Errorf("%q: encoded as %q, want %q", tt.plain, got, tt.xtext)
		}
		if got, err := ParseXText(tt.xtext); got != tt.plain || err != nil {
			t.Errorf("%q: decoded to %q, %v", tt.xtext, got, err)
		}
	}
	if got, err := ParseXText("a+2bb"); got != "a+b" || err != nil {
		t.Errorf("lower case: %q, %v", got, err)
	}
	for _, s := range []string{"a=b", "a b", "a+", "a+2", "a+2G", "a+G2", "+0D+0A", "+00", "+7F", "+FF", "ö", "a\n"} {
		if got, err := ParseXText(s); !errors.Is(err, ErrBadXText) {
			t.Errorf("%q: decoded to %q, %v", s, got, err)
		}
	}
}

func FuzzXText(f *testing.F) {
	f.Add("a+2Bb")
	f.Fuzz(func(t *testing.T, s string) {
		plain, err := ParseXText(s)
		if err != nil {
			return
		}
		if again, err := ParseXText(XText(plain)); err != nil || again != plain {
			t.Fatalf("%q: %q, then %q, %v", s, plain, again, err)
		}
	})
}
