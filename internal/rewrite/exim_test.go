package rewrite

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"quorumta/internal/mail"
)

// The same rules for Exim, whose -brw is the oracle, and for us.
const eximRules = `
begin rewrite
keep@old.example    *                                    Eh
*@old.example       "$local_part@new.example"            Eh
*@new.example       "${if eq{$local_part}{gone}{lost@new.example}fail}"
boss@corp.example   "\"The Boss\" <ceo@corp.example>"    hw
\N^x(.+)@corp\.example$\N "$1@corp.example"                  tcR
*@loop.example      "${local_part}x@loop.example"        TR
one@corp.example    "${if eq{$local_part}{one}{two@corp.example}fail}" frq
two@corp.example    "three@corp.example"
sender@corp.example "s@corp.example"                     s
bcc@corp.example    "b@corp.example"                     b
from@corp.example   "f@corp.example"                     F
`

func sameRules(t *testing.T) Rules {
	return Rules{
		rule(t, "1", `address.address == "keep@old.example"`, "", "envelope", "headers").with(stop),
		rule(t, "2", `address.domain == "old.example"`, `address.local + "@new.example"`, "envelope", "headers"),
		rule(t, "3", `address.domain == "new.example"`, `address.local == "gone" ? "lost@new.example" : ""`),
		rule(t, "4", `address.address == "boss@corp.example"`, `'"The Boss" <ceo@corp.example>'`, "headers").with(whole),
		rule(t, "5", `address.domain == "corp.example" && address.local.matches("^x.+")`, `address.local.substring(1) + "@corp.example"`, "to", "cc").with(repeat),
		rule(t, "6", `address.domain == "loop.example"`, `address.local + "x@loop.example"`, "envelope_to").with(repeat),
		rule(t, "7", `address.address == "one@corp.example"`, `"two@corp.example"`, "from", "reply_to").with(stop),
		rule(t, "8", `address.address == "two@corp.example"`, `"three@corp.example"`),
		rule(t, "9", `address.address == "sender@corp.example"`, `"s@corp.example"`, "sender"),
		rule(t, "10", `address.address == "bcc@corp.example"`, `"b@corp.example"`, "bcc"),
		rule(t, "11", `address.address == "from@corp.example"`, `"f@corp.example"`, "envelope_from"),
	}
}

// TestAsEximRewrites: exim -brw says the same for every place.
func TestAsEximRewrites(t *testing.T) {
	exim, err := exec.LookPath("exim4")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("needs the Debian package exim4-daemon-light")
		}
		t.Skip("needs the Debian package exim4-daemon-light")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "exim.conf")
	text := "primary_hostname = us.example\nspool_directory = " + dir + "\nlog_file_path = " + dir + "/%slog\n" + eximRules
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{
		"sender": "sender", "from": "from", "to": "to", "cc": "cc", "bcc": "bcc", "reply-to": "reply_to",
		"env-from": "envelope_from", "env-to": "envelope_to",
	}
	rules := sameRules(t)
	rewritten := 0
	for _, address := range []string{
		"a@old.example", "A.b@OLD.example", `"a b"@old.example`, "keep@old.example", "gone@old.example", "gone@new.example", "a@new.example",
		"boss@corp.example", "xxxa@corp.example", "x@corp.example", "a@loop.example", "one@corp.example", "two@corp.example",
		"sender@corp.example", "bcc@corp.example", "from@corp.example", "nobody@corp.example",
	} {
		a, err := mail.ParseAddress(address)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(exim, "-C", conf, "-brw", address)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", address, err, err.(*exec.ExitError).Stderr)
		}
		asked := 0
		for line := range strings.Lines(string(out)) {
			label, theirs, ok := strings.Cut(strings.TrimSpace(line), ": ")
			if !ok || labels[label] == "" {
				continue
			}
			asked++
			in := ParsePlaces([]string{labels[label]})
			steps, err := rules.Rewrite(&facts, a, in, false)
			if err != nil {
				t.Fatal(err)
			}
			ours, phrase := a, ""
			for _, s := range steps {
				ours = s.Address
				if s.Phrase != nil {
					phrase = *s.Phrase
				}
			}
			got := ours.String()
			if phrase != "" {
				got = `"` + phrase + `" <` + got + ">"
			}
			// Exim leaves the capitals of a domain that it does not rewrite.
			if len(steps) == 0 && strings.EqualFold(got, theirs) || got == theirs {
				if len(steps) > 0 {
					rewritten++
				}
				continue
			}
			t.Errorf("%s in %s: %s, Exim has %s", address, label, got, theirs)
		}
		if asked != len(labels) {
			t.Errorf("%s: Exim tells of %d places\n%s", address, asked, out)
		}
	}
	if rewritten < 40 {
		t.Errorf("only %d results of rules were compared", rewritten)
	}
}
