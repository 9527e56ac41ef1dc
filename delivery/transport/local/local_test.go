package local

import (
	"strings"
	"testing"

	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

func FuzzUnixLines(f *testing.F) {
	f.Add("a\r\nb\r\n", 1)
	f.Add("a\r\r\n\rb\n\r\n", 2)
	f.Fuzz(func(t *testing.T, s string, n int) {
		s += "\r\n"
		n = max(1, n%16)
		var out strings.Builder
		w := unixLines{w: &out}
		for rest := s; rest != ""; {
			k := min(n, len(rest))
			if _, err := w.Write([]byte(rest[:k])); err != nil {
				t.Fatal(err)
			}
			rest = rest[k:]
		}
		if want := strings.ReplaceAll(s, "\r\n", "\n"); out.String() != want || w.out != int64(len(want)) || w.in != int64(len(s)) {
			t.Errorf("%q became %q", s, out.String())
		}
	})
}

func TestTemplate(t *testing.T) {
	env, err := policy.NewEnv(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	compile := func(expr string) (*policy.Text, error) { return env.Text(expr) }
	f := &policy.Facts{Rcpt: mail.Address{Local: "a b", Domain: "them.example"}}
	for text, want := range map[string]string{
		"": "", "plain $1 {}": "plain $1 {}", "${rcpt.local}": "a b", "-u${rcpt.local}@${rcpt.domain}!": "-ua b@them.example!",
		`${rcpt.local == "}" ? "x" : "y}\"'"}`: `y}"'`, `${'}' + rcpt.domain}`: "}them.example",
	} {
		x, err := Parse(text, compile)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := x.Eval(f, nil); err != nil || got != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	x, err := Parse("/${rcpt.local}/ ", compile)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := x.Eval(f, strings.ToUpper); got != "/A B/ " {
		t.Errorf("%q", got)
	}
	for text, want := range map[string]string{"${rcpt.local": "a } is missing", "${rcpt.user}": "unknown name", `${"}`: "a } is missing"} {
		if _, err := Parse(text, compile); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	failing, err := Parse(`${rcpt.domain.split(".")[7]}`, compile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := failing.Eval(f, nil); err == nil {
		t.Errorf("%v", err)
	}
}
