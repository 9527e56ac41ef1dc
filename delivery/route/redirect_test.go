package route

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"quorumta/delivery/route/aliases"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
)

func environment(t *testing.T) *policy.Env {
	t.Helper()
	env, err := policy.NewEnv(nil, map[string][]string{"ours": {"corp.example"}})
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func text(t *testing.T, expr string) *policy.Text {
	t.Helper()
	compiled, err := environment(t).Text(expr)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func condition(t *testing.T, expr string) *policy.Condition {
	t.Helper()
	c, err := environment(t).Condition(expr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// told draws what a router has said, and who comes in a recipient's place.
func told(d Decision) string {
	if d.Kind != Expand {
		out := describe(d)
		if d.Kind == Deliver && d.Target.Transport != "smtp" {
			out += d.Target.Transport
		}
		if d.Reply.Text != "" {
			out += " " + d.Reply.Text
		}
		return out
	}
	var into []string
	for _, c := range d.Into {
		s := c.Address.String()
		if c.Item != "" {
			s += "=" + c.Item
		}
		if c.Self {
			s += " itself"
		}
		into = append(into, s)
	}
	return d.Router + " into " + strings.Join(into, ", ")
}

func TestRedirects(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(content, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file("list", "a@far.example\n# nobody\nb\n")
	first := file("first", "only: x@far.example\n")
	file("aliases", `root: admin
sales: "Sales, Team" <s1@far.example>, s2
Mixed.Case@corp.example: m
user+special: sp
user: u
@corp.example: catch-all
@other.example: @corp.example
gone: :fail: 550 5.7.1 She has left, ask info@corp.example
later: :defer: tomorrow
odd: :fail: 451 4.4.4 not a class for this
nobody: :blackhole:
unknown: :unknown:
some: :blackhole:, u
all: :include:DIR/list, c@far.example
script: "|/bin/filter -x, y", /var/spool/box
broken: a b
nolist: :include:DIR/none
self: self, other
`)
	path := filepath.Join(dir, "aliases")
	r := Router{
		Name: "aliases", If: condition(t, `rcpt.domain in lists.ours || rcpt.domain == "other.example"`),
		Affix:    Affix{Suffixes: []string{"+*", "-list"}, SuffixOptional: true},
		Redirect: &Redirect{Files: []string{first, path}, Commands: "pipe", Paths: "boxes"},
	}
	files := &aliases.Files{Now: time.Now}
	table, err := New(Options{
		Hostname: "relay.corp.example", Resolver: world(), Files: files,
		Routers: []Router{r, {Name: "local", Accept: "lmtp"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	const where = "aliases"
	for rcpt, want := range map[string]string{
		"root@corp.example":         "aliases into admin@corp.example",
		"ROOT@corp.example":         "aliases into admin@corp.example",
		"only@corp.example":         "aliases into x@far.example",
		"sales@corp.example":        "aliases into s1@far.example, s2@corp.example",
		"mixed.case@corp.example":   "aliases into m@corp.example",
		"user@corp.example":         "aliases into u@corp.example",
		"user+box@corp.example":     "aliases into u@corp.example",
		"user+special@corp.example": "aliases into sp@corp.example",
		"user-list@corp.example":    "aliases into u@corp.example",
		"else@corp.example":         "aliases into catch-all@corp.example",
		"else+x@other.example":      "aliases into else+x@corp.example",
		"gone@corp.example":         "aliases fail 550 5.7.1 She has left, ask info@corp.example",
		"later@corp.example":        "aliases defer 451 4.3.0 tomorrow",
		"odd@corp.example":          "aliases fail 550 5.1.1 not a class for this",
		"nobody@corp.example":       "aliases into ",
		"some@corp.example":         "aliases into u@corp.example",
		"unknown@corp.example":      "local lmtp",
		"all@corp.example":          "aliases into a@far.example, b@corp.example, c@far.example",
		"script@corp.example":       "aliases into script@corp.example=|/bin/filter -x, y, script@corp.example=/var/spool/box",
		"broken@corp.example":       `aliases defer 451 4.3.5 router aliases, DIR/aliases:16: "a b": not a mail address: `,
		"nolist@corp.example":       "aliases defer 451 4.3.5 router aliases, DIR/aliases:17: stat DIR/none: no such file or directory",
		"self@corp.example":         "aliases into self@corp.example, other@corp.example",
		"x@far.example":             "local lmtp",
	} {
		got := strings.ReplaceAll(told(table.Route(t.Context(), Request{Facts: facts(rcpt)})), dir, "DIR")
		if got != want && !(strings.HasSuffix(want, ": ") && strings.HasPrefix(got, want)) {
			t.Errorf("%s:\n got %s\nwant %s", rcpt, got, want)
		}
	}
	// A file that is gone is no answer.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := told(table.Route(t.Context(), Request{Facts: facts("root@corp.example")})); !strings.HasPrefix(got, "aliases defer 451 4.3.5") {
		t.Errorf("%s: %s", where, got)
	}
}

func TestRedirectData(t *testing.T) {
	for expr, want := range map[string]string{
		`"archive@corp.example, " + rcpt.local + "@new.example"`: "r into archive@corp.example, info@new.example",
		`"plain"`:                    "r into plain@q.example",
		`""`:                         "next lmtp",
		`":unknown:"`:                "next lmtp",
		`"|cmd"`:                     "r defer 451 4.3.5 router r, data: commands are not allowed",
		`"/file"`:                    "r defer 451 4.3.5 router r, data: files are not allowed",
		`rcpt.domain.split(".")[9]`:  "r defer 451 4.3.5",
		`rcpt.suffix + "@x.example"`: "r into +a@x.example",
	} {
		r := Router{
			Name: "r", Affix: Affix{Suffixes: []string{"+*"}}, Redirect: &Redirect{Data: text(t, expr), Qualify: "q.example"},
		}
		d := table(t, r, Router{Name: "next", Accept: "lmtp"}).Route(t.Context(), Request{Facts: facts("info+a@old.example")})
		if got := told(d); got != want && !(strings.HasSuffix(want, "4.3.5") && strings.HasPrefix(got, want)) {
			t.Errorf("%s: got %s; want %s", expr, got, want)
		}
	}
}

func TestRedirectByKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map")
	if err := os.WriteFile(path, []byte("corp.example/robot: r@far.example\ninfo: wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := Router{Name: "r", Redirect: &Redirect{Files: []string{path}, Key: text(t, `rcpt.domain + "/" + client.login`)}}
	all := table(t, r, Router{Name: "next", Accept: "lmtp"})
	for rcpt, want := range map[string]string{"info@corp.example": "r into r@far.example", "info@far.example": "next lmtp"} {
		if got := told(all.Route(t.Context(), Request{Facts: facts(rcpt)})); got != want {
			t.Errorf("%s: %s", rcpt, got)
		}
	}
}

// TestCopy: a copy goes to others, and routing goes on for the recipient, which
// the router that made the copy does not see again.
func TestCopy(t *testing.T) {
	all := table(t,
		Router{Name: "journal", If: condition(t, `rcpt.domain in lists.ours`), Redirect: &Redirect{Data: text(t, `"journal@archive.example"`), Unseen: true}},
		Router{Name: "none", Redirect: &Redirect{Data: text(t, `":blackhole:"`), Unseen: true}},
		Router{Name: "local", Accept: "lmtp"})
	if got := told(all.Route(t.Context(), Request{Facts: facts("x@corp.example")})); got != "journal into journal@archive.example, x@corp.example itself" {
		t.Errorf("got %s", got)
	}
	self := []Ancestor{{Address: mail.Address{Local: "X", Domain: "corp.example"}, Router: "journal"}}
	if got := told(all.Route(t.Context(), Request{Facts: facts("x@corp.example"), Ancestors: self})); got != "local lmtp" {
		t.Errorf("itself: %s", got)
	}
	if got := told(all.Route(t.Context(), Request{Facts: facts("y@corp.example"), Ancestors: self})); got != "journal into journal@archive.example, y@corp.example itself" {
		t.Errorf("another: %s", got)
	}
}

func TestFlow(t *testing.T) {
	decline := &Redirect{Data: text(t, `""`)}
	all := table(t,
		Router{Name: "skipped", If: condition(t, "false"), Redirect: decline, Flow: Flow{Last: true}},
		Router{Name: "alias", If: condition(t, `rcpt.local == "a"`), Redirect: &Redirect{Data: text(t, `"b@corp.example"`)}, Flow: Flow{Redirect: "after"}},
		Router{Name: "last", If: condition(t, `rcpt.local == "n" || rcpt.local == "b"`), Redirect: decline, Flow: Flow{Last: true}},
		Router{Name: "after", Accept: "lmtp"})
	for local, want := range map[string]string{
		"n": "last fail 550 5.1.1 no such address: last does not know it", "b": "last fail 550 5.1.1 no such address: last does not know it", "z": "after lmtp", "a": "alias into b@corp.example",
	} {
		if got := told(all.Route(t.Context(), Request{Facts: facts(local + "@corp.example")})); got != want {
			t.Errorf("%s: %s", local, got)
		}
	}
	child := Request{Facts: facts("b@corp.example"), Ancestors: []Ancestor{{Address: mail.Address{Local: "a", Domain: "corp.example"}, Router: "alias"}}, Explain: true}
	d := all.Route(t.Context(), child)
	if got := told(d); got != "after lmtp" || len(d.Steps) != 1 {
		t.Errorf("after a redirect: %s, %v", got, d.Steps)
	}
	deep := child
	for range 40 {
		deep.Ancestors = append(deep.Ancestors, Ancestor{Router: "alias"})
	}
	if got := describe(all.Route(t.Context(), deep)); got != "alias defer 451 4.4.6" {
		t.Errorf("too deep: %s", got)
	}
}

func TestExplained(t *testing.T) {
	all := table(t,
		Router{Name: "inside", If: condition(t, `rcpt.domain in lists.ours`), Accept: "lmtp"},
		Router{Name: "owners", Affix: Affix{Prefixes: []string{"owner-"}}, Accept: "lmtp"},
		Router{Name: "old", Redirect: &Redirect{Data: text(t, `""`)}},
		Router{Name: "partner", Hosts: [][]string{{"nowhere.example"}}, Find: Find{NotFound: ActPass}},
		Router{Name: "internet", MX: true})
	d := all.Route(t.Context(), Request{Facts: facts("x@null.example"), Explain: true})
	var got []string
	for _, s := range d.Steps {
		got = append(got, fmt.Sprintf("%s %s: %s", s.Router, s.Verdict, s.Why))
	}
	want := []string{
		"inside skipped: if: rcpt.domain in lists.ours is false",
		"owners skipped: the local-part has none of the prefixes or suffixes",
		"old declined: nothing is said of this address",
		"partner passed: no host of router partner exists: mend its configuration",
		"internet failed: domain null.example takes no mail (null MX)",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if d := all.Route(t.Context(), Request{Facts: facts("x@null.example")}); d.Steps != nil {
		t.Error("explained unasked")
	}
}

func TestItemsGoByTheirTransports(t *testing.T) {
	all := table(t,
		Router{Name: "aliases", Redirect: &Redirect{Data: text(t, `"|cat"`), Commands: "pipe", Paths: "boxes"}},
		Router{Name: "strict", Redirect: &Redirect{Data: text(t, `"x"`)}})
	by := func(router string) []Ancestor { return []Ancestor{{Router: router}} }
	for _, test := range []struct {
		router, item, want, data string
	}{
		{"aliases", "|cat -u", "aliases pipe", "cat -u"},
		{"aliases", "/var/box", "aliases boxes", "/var/box"},
		{"strict", "|cat", " defer 451 4.3.5", ""},
		{"gone", "|cat", " defer 451 4.3.5", ""},
	} {
		d := all.Route(t.Context(), Request{Facts: facts("x@corp.example"), Item: test.item, Ancestors: by(test.router)})
		if got := told(d); !strings.HasPrefix(got, test.want) || d.Handling.Data != test.data {
			t.Errorf("%+v: got %s, %q", test, got, d.Handling.Data)
		}
	}
}

func TestSaid(t *testing.T) {
	owner := mail.Address{Local: "owner-info", Domain: "corp.example"}
	r := Router{
		Name: "r", Accept: "lmtp", Affix: Affix{Suffixes: []string{"+*"}, SuffixOptional: true},
		Say: Say{
			Errors: text(t, `"owner-" + rcpt.local + "@" + rcpt.domain`),
			Add:    []*policy.Text{text(t, `"X-Box: " + rcpt.suffix`), text(t, `rcpt.local == "z" ? "X-Z: 1" : ""`)},
			Remove: []string{"X-*"}, Data: text(t, `rcpt.local`),
		},
	}
	all := table(t, r)
	d := all.Route(t.Context(), Request{Facts: facts("info+a@corp.example")})
	want := mail.Handling{Errors: &owner, Add: []string{"X-Box: +a"}, Remove: []string{"X-*"}, Data: "info"}
	if !reflect.DeepEqual(d.Handling, want) {
		t.Errorf("got %+v", d.Handling)
	}
	if seen := all.Seen("r", facts("info+a@corp.example")); seen.Rcpt.Local != "info" || seen.Suffix != "+a" {
		t.Errorf("seen as %+v", seen)
	}
	if f := facts("a@b.example"); all.Seen("none", f) != f {
		t.Error("no router has changed the facts")
	}
	for name, say := range map[string]Say{
		"errors_to: \"no\" is not": {Errors: text(t, `"no"`)},
		"more than one line":       {Add: []*policy.Text{text(t, `"X: a\r\nBcc: b"`)}},
		"Name: value is expected":  {Add: []*policy.Text{text(t, `"X Y: a"`)}},
		"address_data":             {Data: text(t, `rcpt.domain.split(".")[9]`)},
		"headers_add: evaluate":    {Add: []*policy.Text{text(t, `rcpt.domain.split(".")[9]`)}},
		"errors_to: evaluate":      {Errors: text(t, `rcpt.domain.split(".")[9]`)},
	} {
		d := table(t, Router{Name: "r", Accept: "lmtp", Say: say}).Route(t.Context(), Request{Facts: facts("a@b.example")})
		if d.Kind != Defer || d.Reply.Enhanced != "4.3.5" || !strings.Contains(d.Reply.Text, name) {
			t.Errorf("%s: got %+v", name, d)
		}
	}
	if d := table(t, Router{Name: "r", Accept: "lmtp", Say: Say{Errors: text(t, `""`)}}).Route(t.Context(), Request{Facts: facts("a@b.example")}); d.Handling.Errors == nil || !d.Handling.Errors.IsNull() {
		t.Errorf("nobody: %+v", d.Handling)
	}
}

func TestAffixes(t *testing.T) {
	a := Affix{Prefixes: []string{"real-", "*="}, Suffixes: []string{"-request", "+*", "--*"}, PrefixOptional: true, SuffixOptional: true}
	for local, want := range map[string]string{
		"joe": "|joe|", "joe+x+y": "|joe|+x+y", "joe-request": "|joe|-request", "JOE-Request": "|JOE|-Request", "real-joe": "real-|joe|",
		"list=joe--x": "list=|joe|--x", "+x": "|+x|", "real-": "|real-|", "-request": "|-request|", "=": "|=|", "a=": "|a=|", "ä+x": "|ä|+x",
	} {
		f, ok := a.strip(facts(local + "@x.example"))
		if got := f.Prefix + "|" + f.Rcpt.Local + "|" + f.Suffix; !ok || got != want {
			t.Errorf("%s: got %s, %v; want %s", local, got, ok, want)
		}
	}
	a.SuffixOptional = false
	if _, ok := a.strip(facts("joe@x.example")); ok {
		t.Error("without a suffix that is needed")
	}
}
