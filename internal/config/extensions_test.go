package config

import (
	"strings"
	"testing"
)

func TestExtensionsAreChecked(t *testing.T) {
	listener := "listeners:\n  - {name: in, address: \":2626\", tls: off, priority: trusted, future_release: {from: trusted, max: 7d}}\n"
	text := strings.Replace(example, "listeners:\n", listener, 1) + `
priorities:
  - {name: bulk, if: 'header["Precedence"] == "bulk" && message.size > 1000', priority: -4}
  - {name: alarms, if: 'sender.address == "alarm@corp.example"', priority: 9}
`
	f, err := Load(write(t, text), "")
	if err != nil {
		t.Fatal(err)
	}
	if l := f.Listeners[0]; l.Priority != "trusted" || l.FutureRelease.From != "trusted" || len(f.Priorities) != 2 || f.Priorities[0].Priority != -4 {
		t.Errorf("%+v, %+v", l, f.Priorities)
	}
	for _, c := range []struct{ old, new, want string }{
		{"priority: trusted", "priority: nobody", "there is no net nobody"},
		{"{from: trusted,", "{from: nobody,", "there is no net nobody"},
		{"max: 7d", "max: 100ms", "for 1s at least"},
		{"priority: 9", "priority: 10", "a number from -9 to 9"},
		{"name: alarms", "name: bulk", "the name bulk is used twice"},
		{"sender.address ==", "rcpt.address ==", "rcpt.address"},
	} {
		if !strings.Contains(text, c.old) {
			t.Fatalf("the example has no %q", c.old)
		}
		if _, err := Load(write(t, strings.Replace(text, c.old, c.new, 1)), ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got\n%v\nwant\n%s", c.new, err, c.want)
		}
	}
}
