package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReportKeys: what is said of reports is read, and what cannot be meant is
// told with its place.
func TestReportKeys(t *testing.T) {
	words := t.TempDir()
	if err := os.Mkdir(filepath.Join(words, "corp"), 0o755); err != nil {
		t.Fatal(err)
	}
	const old = "dsn: {warn_after: [4h], return: headers, max_body: 50KB}\n"
	with := func(text string) (*File, error) {
		return Load(write(t, strings.Replace(example, old, "dsn:\n"+text, 1)), "")
	}
	f, err := with(`  warn_if: '!("x-alert" in header)'
  templates: ` + words + `
  language:
    - {name: ours, if: 'sender.domain in lists.ours', use: corp}
    - {name: german, if: 'sender.domain.endsWith(".de")', use: de}
  copy_to: postmaster@corp.example
  double_bounce: freeze
  suppress:
    - {name: spam, if: '"x-spam" in header && reply.code == 550'}
`)
	if err != nil {
		t.Fatal(err)
	}
	d := f.DSN
	if len(d.Language) != 2 || d.CopyTo.Local != "postmaster" || len(d.Suppress) != 1 || d.Return != "headers" || len(d.WarnAfter) != 1 {
		t.Errorf("got %+v", d)
	}
	for text, want := range map[string]string{
		"  warn_if: message.bulkk\n":                                         "29:12: unknown name message.bulkk; did you mean message.bulk?",
		"  warn_after: [1d, 4h]\n":                                           "ages are above zero and ascend",
		"  templates: nowhere\n":                                             "cannot read the directory",
		"  language: [{name: x, use: fr}]\n":                                 `"fr" is not possible`,
		"  suppress: [{name: all}]\n":                                        "a rule that suppresses all reports",
		"  suppress: [{if: 'true'}]\n":                                       "name is missing",
		"  double_bounce: away\n":                                            `"away" is not possible`,
		"  suppress: [{name: a, if: 'true'}, {name: a, if: 'reply.code'}]\n": "the name a is used twice",
	} {
		if _, err := with(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
	if f, err := Load(write(t, example), ""); err != nil || f.DSN.DoubleBounce != "postmaster" {
		t.Error("double bounces are lost by default")
	}
}
