package config

import (
	"strings"
	"testing"
)

const rewriting = `rewrites:
  - {name: keep, if: 'address.local == "keep"', stop: true}
  - {name: canonical, if: 'address.domain in lists.ours && client.ip in nets.trusted', to: 'address.local + "@new.example"', in: [from, envelope], repeat: true}
  - {name: named, to: '"A <a@b.example>"', in: [reply_to, headers], whole: true}
`

func TestRewriteFaults(t *testing.T) {
	f, err := Load(write(t, example+rewriting), "")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Rewrites) != 3 || !f.Rewrites[0].Stop || !f.Rewrites[1].Repeat || f.Rewrites[1].In[1] != "envelope" || !f.Rewrites[2].Whole {
		t.Errorf("%+v", f.Rewrites)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"no name", `name: named, `, ``, `name is missing`},
		{"twice", `name: named`, `name: keep`, `the name keep is used twice`},
		{"nothing to do", `, stop: true`, ``, `to is missing, it is an expression`},
		{"place", `[from, `, `[form, `, `"form" is not possible, did you mean from?`},
		{"recipient", `address.local == "keep"`, `rcpt.local == "keep"`, `unknown name rcpt.local`},
		{"no bool", `address.local == "keep"`, `address.local`, `a bool is expected`},
		{"bare text", `'"A <a@b.example>"'`, `b`, `unknown name b; `},
		{"no text", `'"A <a@b.example>"'`, `message.size`, `a string is expected`},
		{"misspelt key", `repeat: true`, `repeats: true`, `repeats`},
	} {
		text := example + rewriting
		if !strings.Contains(text, c.old) {
			t.Fatalf("the example has no %q", c.old)
		}
		_, err := Load(write(t, strings.Replace(text, c.old, c.new, 1)), "")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got\n%v\nwant\n%s", c.name, err, c.want)
		}
	}
}
