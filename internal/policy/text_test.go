package policy

import (
	"strings"
	"testing"
)

func TestTexts(t *testing.T) {
	env := testEnv(t)
	for expr, want := range map[string]string{
		`"/srv/mail/" + rcpt.domain + "/" + rcpt.local.lowerAscii()`: "/srv/mail/example.com/info",
		`""`:                                  "",
		`client.tls ? "safe" : "clear"`:       "safe",
		`"<" + sender.address + ">"`:          "<boss@corp.example>",
		`string(client.ip)`:                   "10.20.30.40",
		`rcpt.domain.split(".")[0] + ".site"`: "example.site",
	} {
		text, err := env.Text(expr)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got, err := text.Eval(testFacts()); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", expr, got, err, want)
		}
		if text.String() != expr {
			t.Errorf("%s: its source is %q", expr, text)
		}
	}
	var none *Text
	if got, err := none.Eval(testFacts()); got != "" || err != nil {
		t.Errorf("nil: got %q, %v", got, err)
	}
}

func TestTextFaults(t *testing.T) {
	env := testEnv(t)
	tests := []struct {
		expr   string
		groups []string
		want   string
	}{
		{expr: ` `, want: `1:1: an expression for a text is expected; the empty text is ""`},
		{expr: `message.size`, want: `1:1: the result is a int; a string is expected`},
		{expr: `archive`, want: `1:1: unknown name archive; known are nets, lists, client, sender, rcpt, message; a constant text has quotes of its own: '"archive"'`},
		{expr: `rcpt.local`, groups: []string{"sender"}, want: `1:1: rcpt.local is not known here; only sender, nets and lists are`},
		{expr: `"a" + rcpt.dmain`, want: `1:7: unknown name rcpt.dmain; did you mean rcpt.domain?`},
	}
	for _, test := range tests {
		_, err := env.Text(test.expr, test.groups...)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v; want %s", test.expr, err, test.want)
		}
	}
}

// TestTextFailsAtRunTime: who cannot compute a text learns of it, instead of
// getting another one.
func TestTextFailsAtRunTime(t *testing.T) {
	text, err := testEnv(t).Text(`rcpt.domain.split(".")[5]`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := text.Eval(testFacts()); err == nil || !strings.Contains(err.Error(), "rcpt.domain") {
		t.Errorf("got %q, %v; want an error that names the expression", got, err)
	}
}
