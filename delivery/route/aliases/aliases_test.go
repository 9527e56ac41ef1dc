package aliases

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// show writes items as tests compare them.
func show(items []Item) string {
	var out []string
	for _, i := range items {
		switch i.Kind {
		case Address:
			switch {
			case i.Address.Local == "":
				out = append(out, "@"+i.Address.Domain)
			case i.Address.Domain == "":
				out = append(out, i.Address.Local+"@?")
			default:
				out = append(out, i.Address.String())
			}
		case Command:
			out = append(out, "|"+i.Text)
		case File:
			out = append(out, "file "+i.Text)
		case Include:
			out = append(out, "include "+i.Text)
		case Fail:
			out = append(out, "fail "+i.Text)
		case Defer:
			out = append(out, "defer "+i.Text)
		case Unknown:
			out = append(out, "unknown")
		case Blackhole:
			out = append(out, "blackhole")
		}
	}
	return strings.Join(out, "; ")
}

func TestItems(t *testing.T) {
	for list, want := range map[string]string{
		``:                                    ``,
		` , ,`:                                ``,
		`a`:                                   `a@?`,
		`a, b@Example.ORG,c`:                  `a@?; b@example.org; c@?`,
		"a\n# no\nb # yes? no":                `!"b # yes? no"`,
		"a@x.example\n#b@x.example\r\nc":      `a@x.example; c@?`,
		`"john smith"`:                        `john smith@?`,
		`"john, smith"@x.example, b`:          `"john, smith"@x.example; b@?`,
		`"a\"b"@x.example`:                    `"a\"b"@x.example`,
		`John Smith <js@x.example>`:           `js@x.example`,
		`"Smith, John" <js@x.example>, b`:     `js@x.example; b@?`,
		`js@x.example (John, Smith), b`:       `js@x.example; b@?`,
		`js@x.example (a (nested) comment)`:   `js@x.example`,
		`\root`:                               `root@?`,
		`@other.example`:                      `@other.example`,
		`x@[192.0.2.1], y@[IPv6:2001:db8::1]`: `x@[192.0.2.1]; y@[ipv6:2001:db8::1]`,
		`|/bin/cat`:                           `|/bin/cat`,
		`| /bin/cat -u`:                       `|/bin/cat -u`,
		`"|/bin/cat a, b", c`:                 `|/bin/cat a, b; c@?`,
		`"|/bin/sh -c \"echo x\""`:            `|/bin/sh -c "echo x"`,
		`|/bin/sh -c "a, b", c`:               `|/bin/sh -c "a, b"; c@?`,
		`/var/mail/x, b`:                      `file /var/mail/x; b@?`,
		`"/var/mail/with space"`:              `file /var/mail/with space`,
		`/G=x/S=y@x400.example`:               `/G=x/S=y@x400.example`,
		`:include:/etc/list, a`:               `include /etc/list; a@?`,
		`":include:/etc/my list"`:             `include /etc/my list`,
		`:include:"/etc/my list"`:             `include /etc/my list`,
		`:Include: /etc/list`:                 `include /etc/list`,
		`:include:list`:                       `!a path that begins with /`,
		`:fail: gone, ask bob@x.example`:      `fail gone, ask bob@x.example`,
		`a, :fail: gone`:                      `fail gone`,
		`":fail: gone"`:                       `fail gone`,
		`:defer:`:                             `defer `,
		`:unknown:`:                           `unknown`,
		`:blackhole:`:                         `blackhole`,
		`:blackhole:, a`:                      `blackhole; a@?`,
		`:blackhole: a`:                       `!nothing but a comma`,
		`:wrong: x`:                           `!only :include:`,
		`"a`:                                  `!a closing quote`,
		`a (b`:                                `!a closing parenthesis`,
		`a b`:                                 `!"a b"`,
		`a@`:                                  `!"a@"`,
		`a@b@c.example`:                       `!"a@b@c.example"`,
		`|`:                                   `!a command is missing`,
		`<>`:                                  `!an address is expected`,
		`ä@münchen.example`:                   `ä@münchen.example`,
	} {
		items, err := Parse(list)
		got := show(items)
		if err != nil {
			got = "!" + err.Error()
		}
		if got != want && !(strings.HasPrefix(want, "!") && err != nil && strings.Contains(err.Error(), want[1:])) {
			t.Errorf("%s: got %s; want %s", list, got, want)
		}
	}
}

func TestTables(t *testing.T) {
	table, faults := ParseTable(`# comment
  # and one that begins with white space
postmaster: root
Root:	admin,
	# in between

   ops@x.example
"spaced key": a
"colon:key"@X.example : b
@Catch.example  all@x.example
user@münchen.example c
nothing:
nocolon
void: :blackhole:
gone :fail: no more
: empty
root: second
bad: a b
"open: x
`)
	var got []string
	for _, key := range []string{
		"postmaster", "root", "spaced key", "colon:key@x.example", "@catch.example", "user@xn--mnchen-3ya.example", "nothing", "void", "gone", "bad",
	} {
		if e, ok := table[key]; ok {
			got = append(got, fmt.Sprintf("%d %s = %s", e.Line, key, strings.TrimSpace(e.Items)))
		}
	}
	want := `3 postmaster = root
4 root = admin, ops@x.example
8 spaced key = a
9 colon:key@x.example = b
10 @catch.example = all@x.example
11 user@xn--mnchen-3ya.example = c
14 void = :blackhole:
15 gone = :fail: no more
18 bad = a b`
	if s := strings.Join(got, "\n"); s != want || len(table) != 9 {
		t.Errorf("got %d entries\n%s\nwant\n%s", len(table), s, want)
	}
	wantFaults := `12: key: items is expected
13: "nocolon": key: items is expected
16: key: items is expected
17: root has an entry in line 4, which counts
18: "a b": not a mail address`
	var told []string
	for _, f := range faults {
		told = append(told, f.String())
	}
	if s := strings.Join(told, "\n"); !strings.HasPrefix(s, wantFaults) || !strings.HasSuffix(s, `19: "\"open: x": a closing quote is missing`) {
		t.Errorf("faults:\n%s", s)
	}
	if _, faults := ParseTable(" x: y\n"); len(faults) != 1 {
		t.Errorf("a line without a beginning: %v", faults)
	}
}

// clock is a wall clock that tests set.
type clock struct{ now time.Time }

// files are files in a directory, last changed a minute ago.
func files(t *testing.T, c *clock, texts map[string]string) (*Files, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		write(t, c, filepath.Join(dir, name), strings.ReplaceAll(text, "DIR", dir), -time.Minute)
	}
	return &Files{Now: func() time.Time { return c.now }}, dir
}

func write(t *testing.T, c *clock, path, text string, age time.Duration) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, c.now.Add(age), c.now.Add(age)); err != nil {
		t.Fatal(err)
	}
}

// A file that changes is read again, but not while it is being written: an
// address must not be missing for a moment.
func TestFilesAreReadAgain(t *testing.T) {
	c := &clock{time.Now()}
	f, dir := files(t, c, map[string]string{"aliases": "a: b\n"})
	path := filepath.Join(dir, "aliases")
	expect := func(when, want string) {
		t.Helper()
		_, e, _, err := f.Lookup(path, "none", "a")
		if err != nil || strings.TrimSpace(e.Items) != want {
			t.Errorf("%s: got %q, %v; want %q", when, e.Items, err, want)
		}
	}
	expect("at first", "b")
	write(t, c, path, "", 0)
	expect("while it is written", "b")
	write(t, c, path, "a: c\n", 0)
	expect("right after", "b")
	c.now = c.now.Add(2 * time.Second)
	expect("when it rests", "c")
	write(t, c, path, "a: d\n", time.Hour) // a clock that is ahead
	expect("from the future", "d")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := f.Lookup(path, "a"); err == nil {
		t.Error("a file that is gone is looked up")
	}
	if _, _, _, err := f.Lookup(dir, "a"); err == nil {
		t.Error("a directory is looked up")
	}
}

func TestWhatIsWrongIsToldOnce(t *testing.T) {
	c := &clock{time.Now()}
	f, dir := files(t, c, map[string]string{"aliases": "a: b c\nx\n"})
	told := 0
	f.Told = func(_ string, faults []Fault) { told += len(faults) }
	for range 3 {
		if _, _, ok, err := f.Lookup(filepath.Join(dir, "aliases"), "a"); !ok || err != nil {
			t.Error(ok, err)
		}
	}
	if told != 2 {
		t.Errorf("told %d times", told)
	}
}

func TestIncludes(t *testing.T) {
	c := &clock{time.Now()}
	f, dir := files(t, c, map[string]string{
		"list":  "a@x.example\n# comment\nb, c\n:include:DIR/more\n",
		"more":  "d\n",
		"gone":  ":fail: no more\n",
		"loop":  ":include:DIR/loop\n",
		"wrong": "a b\n",
		"both":  "k: v\n",
	})
	for list, want := range map[string]string{
		"z, :include:DIR/list, y":              "z@?; a@x.example; b@?; c@?; d@?; y@?",
		"z, :include:DIR/gone, y":              "fail no more",
		":include:DIR/loop":                    "!too deeply",
		":include:DIR/wrong":                   `!"a b"`,
		":include:DIR/none":                    "!no such file",
		":include:DIR/more, :include:DIR/more": "d@?; d@?",
	} {
		items, err := Parse(strings.ReplaceAll(list, "DIR", dir))
		if err != nil {
			t.Fatal(err)
		}
		all, err := f.Include(items)
		got := show(all)
		if err != nil {
			got = "!" + err.Error()
		}
		if got != want && !(strings.HasPrefix(want, "!") && err != nil && strings.Contains(err.Error(), want[1:])) {
			t.Errorf("%s: got %s; want %s", list, got, want)
		}
	}
	// One file may be both.
	path := filepath.Join(dir, "both")
	if _, _, ok, err := f.Lookup(path, "k"); !ok || err != nil {
		t.Error(ok, err)
	}
	if _, err := f.Include([]Item{{Kind: Include, Text: path}}); err == nil || !strings.Contains(err.Error(), "k: v") {
		t.Errorf("as a list: %v", err)
	}
	if _, _, ok, err := f.Lookup(path, "k"); !ok || err != nil {
		t.Error(ok, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`a, "b\"c" <x@y.example> (c), |"d, e"`, ":include:/x\n:fail: y", `"`, `\`, "<[", "a\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		items, err := Parse(s)
		for _, i := range items {
			if err != nil || i.Kind == 0 || i.Kind == Address && i.Address.IsNull() {
				t.Errorf("%q: %+v, %v", s, i, err)
			}
		}
		ParseTable(s)
	})
}
