package rewrite

import (
	"bufio"
	"errors"
	"strings"
	"testing"

	"quorumta/internal/mail"
	"quorumta/internal/mail/header"
	"quorumta/internal/policy"
)

// rule compiles one.
func rule(t testing.TB, name, condition, to string, in ...string) Rule {
	t.Helper()
	env, err := policy.NewEnv(nil, map[string][]string{"old": {"old.example", "*.old.example"}})
	if err != nil {
		t.Fatal(err)
	}
	r := Rule{Name: name, In: ParsePlaces(in)}
	if r.If, err = env.AddressCondition(condition); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if to != "" {
		if r.To, err = env.AddressText(to); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return r
}

func (r Rule) with(change func(*Rule)) Rule {
	change(&r)
	return r
}

func whole(r *Rule)  { r.Whole = true }
func repeat(r *Rule) { r.Repeat = true }
func stop(r *Rule)   { r.Stop = true }

// testRules are as an operator would write them.
func testRules(t testing.TB) Rules {
	return Rules{
		rule(t, "keep", `address.address == "keep@old.example"`, "").with(stop),
		rule(t, "boss", `address.address == "boss@corp.example"`, `'"The Boss" <ceo@corp.example>'`, "headers").with(whole),
		rule(t, "grüße", `address.address == "g@corp.example"`, `'"Grüße, J." <g2@corp.example>'`, "from").with(whole),
		rule(t, "canonical", `address.domain in lists.old`, `address.local + "@new.example"`, "headers", "envelope"),
		rule(t, "again", `address.local.startsWith("x")`, `address.local.substring(1) + "@" + address.domain`, "to", "cc").with(repeat),
		rule(t, "loop", `address.domain == "loop.example"`, `address.local + "x@loop.example"`, "to").with(repeat),
		rule(t, "null", `address.local == "noreply"`, `"<>"`, "envelope_from"),
		rule(t, "only smtp", `address.domain == "early.example"`, `"late@corp.example"`, "smtp"),
		rule(t, "by whom", `sender.domain == "mill.example" && address.domain == "mill.example"`, `"desk@mill.example"`, "reply_to"),
		rule(t, "idn", `address.domain == "idn.example"`, `address.local + "@münchen.example"`),
	}
}

var facts = policy.Facts{Sender: mail.Address{Local: "otto", Domain: "mill.example"}}

func TestRewrite(t *testing.T) {
	rules := testRules(t)
	for _, c := range []struct {
		address, want, by string
		in                Place
	}{
		{"a@old.example", "a@new.example", "canonical", From},
		{"a@sub.OLD.example", "a@new.example", "canonical", EnvelopeTo},
		{"a@old.example", "a@old.example", "", SMTP},
		{"keep@old.example", "keep@old.example", "keep", To},
		{"keep@old.example", "keep@old.example", "keep", EnvelopeFrom},
		{`"john doe"@old.example`, `"john doe"@new.example`, "canonical", To},
		{"xxxa@corp.example", "a@corp.example", "again again again", Cc},
		{"xxxa@old.example", "a@new.example", "canonical again again again", Cc},
		{"xxxa@corp.example", "xxxa@corp.example", "", From},
		{"a@loop.example", "axxxxxxxxxxx@loop.example", strings.TrimSpace(strings.Repeat("loop ", 11)), To},
		{"noreply@corp.example", "", "null", EnvelopeFrom},
		{"early@early.example", "late@corp.example", "only smtp", SMTP},
		{"early@early.example", "early@early.example", "", EnvelopeTo},
		{"otto@mill.example", "desk@mill.example", "by whom", ReplyTo},
		{"a@idn.example", "a@xn--mnchen-3ya.example", "idn", Bcc},
		{"boss@corp.example", "ceo@corp.example", "boss", Sender},
	} {
		a, err := mail.ParseAddress(c.address)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := rules.Rewrite(&facts, a, c.in, false)
		var by []string
		for _, s := range steps {
			by = append(by, s.Rule)
			a = s.Address
		}
		if err != nil || a.String() != c.want || strings.Join(by, " ") != c.by {
			t.Errorf("%s in %b: %q by %v, %v; want %q by %s", c.address, c.in, a, by, err, c.want, c.by)
		}
	}
	if steps, err := rules.Rewrite(&facts, mail.Address{}, EnvelopeFrom, false); len(steps) > 0 || err != nil {
		t.Errorf("the null address became %v, %v", steps, err)
	}
	steps, err := rules.Rewrite(&facts, mail.Address{Local: "ü", Domain: "idn.example"}, To, true)
	if err != nil || steps[0].Address.String() != "ü@münchen.example" {
		t.Errorf("with SMTPUTF8: %v, %v", steps, err)
	}
}

// What is no address is an error that names its rule.
func TestResultIsNoAddress(t *testing.T) {
	for name, c := range map[string]struct {
		rule Rule
		in   Place
		want string
	}{
		"no domain":       {rule(t, "r", "", `address.local`), To, "@"},
		"postmaster":      {rule(t, "r", "", `"postmaster"`), To, "it has no domain"},
		"two":             {rule(t, "r", "", `"a@b.example, c@d.example"`), To, "not a mail address"},
		"two at signs":    {rule(t, "r", "", `address.address + "@new.example"`), To, "not a mail address"},
		"line end":        {rule(t, "r", "", `"a@b.example\r\nBcc: x@y.example"`), To, "control characters"},
		"null in To":      {rule(t, "r", "", `"<>"`), To, "not a mail address"},
		"phrase":          {rule(t, "r", "", `"A <a@b.example>"`), To, "not a mail address"},
		"whole, two":      {rule(t, "r", "", `"A <a@b.example>, c@d.example"`).with(whole), To, "expected single address"},
		"whole, line end": {rule(t, "r", "", `"\"A\r\nBcc: x\" <a@b.example>"`).with(whole), To, "mail:"},
		"whole, long":     {rule(t, "r", "", `"\"`+strings.Repeat("x", 1000)+`\" <a@b.example>"`).with(whole), To, "too long"},
		"UTF-8":           {rule(t, "r", "", `"ü@b.example"`), EnvelopeTo, "needs SMTPUTF8"},
		"run time":        {rule(t, "r", `address.local.substring(5) == ""`, `"a@b.example"`), To, "substring"},
	} {
		steps, err := Rules{c.rule}.Rewrite(&facts, mail.Address{Local: "a", Domain: "x.example"}, c.in, false)
		var unusable *Error
		if !errors.As(err, &unusable) || unusable.Rule != "r" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want %q", name, steps, err, c.want)
		}
	}
}

func TestHeader(t *testing.T) {
	long := strings.Repeat("a@old.ex.example, ", 60)
	for _, c := range []struct{ before, after, by string }{
		{"From: A <a@old.example>\r\n", "From: A <a@new.example>\r\n", "canonical"},
		{"from :a@OLD.example\r\n", "from :a@new.example\r\n", "canonical"},
		{"From: a@corp.example\r\n", "From: a@corp.example\r\n", ""},
		{"X-From: a@old.example\r\n", "X-From: a@old.example\r\n", ""},
		{"Subject: a@old.example\r\n", "Subject: a@old.example\r\n", ""},
		{"To: \"Doe, (J)\" (his) <a@old.example> (main)\r\n", "To: \"Doe, (J)\" (his) <a@new.example> (main)\r\n", "canonical"},
		{
			"To: friends: a@old.example,\r\n\tB <b@corp.example>;,\r\n =?utf-8?q?J=C3=B6rg=2C?=\r\n <j@old.example>\r\n",
			"To: friends: a@new.example,\r\n\tB <b@corp.example>;,\r\n =?utf-8?q?J=C3=B6rg=2C?=\r\n <j@new.example>\r\n", "canonical",
		},
		{"Cc: \"xa\"@corp.example, <@route.example:xb@corp.example>\r\n", "Cc: a@corp.example, <b@corp.example>\r\n", "again"},
		{"Reply-To: <otto@mill.example>\r\n", "Reply-To: <desk@mill.example>\r\n", "by whom"},
		{"Resent-To: a@old.example\r\n", "Resent-To: a@new.example\r\n", "canonical"},
		{"Bcc: not an address, a@b@old.example, keep@old.example\r\n", "Bcc: not an address, a@b@old.example, keep@old.example\r\n", ""},
		{"Sender: Big \"B\" <boss@corp.example> (x)\r\n", "Sender: \"The Boss\" <ceo@corp.example> (x)\r\n", "boss"},
		{"From: (x) g@corp.example\r\n", "From: (x) =?utf-8?b?R3LDvMOfZSwgSi4=?= <g2@corp.example>\r\n", "grüße"},
		{"From: J <a@idn.example>\r\n", "From: J <a@xn--mnchen-3ya.example>\r\n", "idn"},
		{"To: undisclosed-recipients:;\r\n", "To: undisclosed-recipients:;\r\n", ""},
		{"To: " + long + "a@old.example\r\n", "To: " + long + "a@new.example\r\n", "canonical"},
	} {
		before := header.Header{"Received: x\r\n", header.Field(c.before), "X: a@old.example\r\n"}
		after, by, err := testRules(t).Header(&facts, before, false)
		if err != nil {
			t.Fatalf("%s: %v", c.before, err)
		}
		if string(after[1]) != c.after || after[0] != before[0] || after[2] != before[2] || strings.Join(by, " ") != c.by {
			t.Errorf("%q\nbecame %q by %v\nnot    %q by %s", c.before, after[1], by, c.after, c.by)
		}
		if string(before[1]) != c.before {
			t.Errorf("%q was changed in place", c.before)
		}
	}
	for _, f := range []header.Field{"From: ü <a@idn.example>\r\n", "From: ü <a@münchen.example>\r\n"} {
		after, _, err := testRules(t).Header(&facts, header.Header{f}, true)
		if err != nil || after[0] != "From: ü <a@münchen.example>\r\n" {
			t.Errorf("with SMTPUTF8: %q, %v", after, err)
		}
	}
	broken := append(testRules(t), rule(t, "broken", `address.domain == "new.example"`, `address.local`))
	h := header.Header{"From: b@corp.example\r\n", "To: a@old.example\r\n"}
	if after, _, err := broken.Header(&facts, h, false); err == nil || !strings.Contains(err.Error(), "rewrite rule broken, a@new.example") || after[1] != h[1] {
		t.Errorf("%v, %v", after, err)
	}
}

// A line that would become too long is folded between two mailboxes.
func TestLongLines(t *testing.T) {
	rules := Rules{rule(t, "longer", `address.domain == "o.example"`, `address.local + "@very.much.longer.example"`)}
	f := header.Field("To: a: " + strings.Repeat("B <b@o.example>,", 60) + "c@o.example;\r\n")
	after, _, err := rules.Header(&facts, header.Header{f}, false)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(after[0]), "\r\n") {
		if len(line) > maxLine || strings.TrimSpace(line) == "" && line != "" {
			t.Errorf("a line has %d octets", len(line))
		}
	}
	if got := strings.Count(string(after[0]), "@very.much.longer.example"); got != 61 || len(header.Mailboxes(after[0].Value())) != 61 {
		t.Errorf("%d of 61 mailboxes", got)
	}
}

// Fields without addresses of the rules stay octet by octet, and a list of
// mailboxes has as many afterwards, each where it was.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{
		"From: A <a@old.example>\r\nSubject: x\r\n y\r\n\r\n",
		"To: g: a@old.example, \"x, \\\"y\" <b@old.example>;, c@d.example (c, (d))\r\n\r\n",
		"Cc: a@old.example (open\r\nBcc: <@r:xx@old.example>\r\n\r\n",
		"Sender: =?utf-8?q?J=2C?= <boss@corp.example>\r\nTo: \"a b\"@old.example,\r\n\t<xxy@c.example>\r\n\r\n",
	} {
		f.Add(s)
	}
	rules := testRules(f)
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r", ""), "\n", "\r\n")
		before, err := header.Read(bufio.NewReader(strings.NewReader(s)), 1<<20)
		if err != nil {
			t.Skip()
		}
		after, by, err := rules.Header(&facts, before, true)
		if err != nil {
			t.Skip() // what becomes too long for an address waits
		}
		again, err := header.Read(bufio.NewReader(strings.NewReader(string(after.Bytes()))), 1<<21)
		if err != nil || len(again) != len(before) {
			t.Fatalf("%d fields became %d, %v:\n%q\n%q", len(before), len(again), err, before, after)
		}
		changed := false
		for i := range before {
			if again[i] != after[i] {
				t.Errorf("%q reads as %q", after[i], again[i])
			}
			if before[i] == after[i] {
				continue
			}
			changed = true
			old, now := header.Mailboxes(before[i].Value()), header.Mailboxes(after[i].Value())
			if placeOf(before[i]) == 0 || len(old) != len(now) {
				t.Fatalf("%q\nbecame %q", before[i], after[i])
			}
			for j := range old {
				a, err := mail.ParseAddress(old[j].Address(before[i].Value()))
				if err != nil {
					continue
				}
				want := a
				steps, _ := rules.Rewrite(&facts, a, placeOf(before[i]), true)
				if len(steps) > 0 {
					want = steps[len(steps)-1].Address
				}
				if got, err := mail.ParseAddress(now[j].Address(after[i].Value())); err != nil || got != want {
					t.Errorf("%q\nbecame %q: %v where %v is expected; %v", before[i], after[i], got, want, err)
				}
			}
		}
		if changed != (len(by) > 0) {
			t.Errorf("changed: %v, by %v", changed, by)
		}
	})
}
