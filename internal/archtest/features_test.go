package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestFeaturesNameTests: the tests that docs/features.md names exist, and each row
// of what is built names one.
func TestFeaturesNameTests(t *testing.T) {
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile("../../docs/features.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)
	for n, line := range strings.Split(string(table), "\n") {
		names := named.FindAllString(line, -1)
		for _, name := range names {
			if !tests[name] {
				t.Errorf("docs/features.md:%d: there is no test %s", n+1, name)
			}
		}
		cells := strings.Split(line, "|")
		if len(cells) < 6 || strings.HasPrefix(strings.TrimSpace(cells[2]), "-") || strings.TrimSpace(cells[2]) == "priority" {
			continue
		}
		if state := strings.TrimSpace(cells[3]); state != "–" && len(names) == 0 {
			t.Errorf("docs/features.md:%d: %s is %q by no test", n+1, strings.TrimSpace(cells[1]), state)
		}
	}
}
