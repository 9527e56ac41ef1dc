package aliases

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// oddities is a file that Postfix, Exim and we read, with the lists that all
// three forms allow.
const oddities = `# comment
postmaster: root
Root: admin@far.example,
# in between
	ops@far.example

    , third@far.example
"spaced key": a@far.example
named: "Smith, John" <js@far.example>, Plain Name <pn@far.example>
commented: c1@far.example (a, comment), c2@far.example
quoted: "john smith"@far.example
escaped: "a\"b"@far.example
semi  :  s@far.example
upper: MixedCase@FAR.example
piped: "|/bin/filter -x, y"
filed: /var/spool/box
`

// program finds a program of a Debian package.
func program(t *testing.T, name, pkg string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/usr/local/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: install %s", name, pkg)
	}
	t.Skipf("%s is missing: install %s", name, pkg)
	return ""
}

// TestAsPostfixReadsThem: the same keys, with the same lists.
func TestAsPostfixReadsThem(t *testing.T) {
	postalias := program(t, "postalias", "postfix")
	dir := t.TempDir()
	path := filepath.Join(dir, "aliases")
	for name, text := range map[string]string{path: oddities, filepath.Join(dir, "main.cf"): "compatibility_level = 3.6\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (string, error) {
		out, err := exec.Command(postalias, append([]string{"-c", dir}, args...)...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	database := "hash:" + path
	if out, err := run(database); err != nil {
		t.Fatalf("postalias: %v\n%s", err, out)
	}
	table, faults := ParseTable(oddities)
	if len(faults) > 0 {
		t.Errorf("faults: %v", faults)
	}
	squeeze := func(s string) string {
		return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), " ,", ",")
	}
	for key, e := range table {
		theirs, err := run("-q", key, database)
		if err != nil || squeeze(theirs) != squeeze(e.Items) {
			t.Errorf("%s: Postfix has %q, %v; we have %q", key, theirs, err, e.Items)
		}
	}
	for _, key := range []string{"# comment", "named:", "in between", "\"spaced"} {
		_, ours := table[key]
		if _, err := run("-q", key, database); (err == nil) != ours {
			t.Errorf("%s: Postfix has it: %v; we: %v", key, err == nil, ours)
		}
	}
}

const eximConf = `
exim_path = %[2]s
primary_hostname = them.example
spool_directory = %[1]s
log_file_path = %[1]s/%%slog
qualify_recipient = far.example
allow_utf8_domains
domainlist ours = corp.example
never_users =
begin routers
aliases:
  driver = redirect
  domains = +ours
  data = ${lookup{$local_part}lsearch{%[1]s/aliases}}
  allow_fail
  allow_defer
  file_transport = nowhere
  pipe_transport = nowhere
  user = root
rest:
  driver = accept
  transport = nowhere
begin transports
nowhere:
  driver = appendfile
  file = /dev/null
`

// TestAsEximReadsThem: the same addresses in the place of each.
func TestAsEximReadsThem(t *testing.T) {
	exim := program(t, "exim4", "exim4-daemon-light")
	if os.Getuid() != 0 {
		t.Skip("Exim reads a configuration of ours as root only")
	}
	// An empty line and a comment end an entry of Exim's lsearch; in aliases(5),
	// and here, it goes on behind them.
	eximOddities := strings.NewReplacer("# in between\n", "", "\n\n", "\n").Replace(oddities)
	dir := t.TempDir()
	conf := filepath.Join(dir, "exim.conf")
	for name, text := range map[string]string{filepath.Join(dir, "aliases"): eximOddities, conf: fmt.Sprintf(eximConf, dir, exim)} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	table, _ := ParseTable(eximOddities)
	for key, e := range table {
		if strings.Contains(key, " ") {
			continue // no address has it unquoted
		}
		out, err := exec.Command(exim, "-C", conf, "-bt", key+"@corp.example").CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", key, err, out)
			continue
		}
		var theirs []string
		for line := range strings.Lines(string(out)) {
			if line[0] == ' ' {
				continue
			}
			name, item, isItem := strings.Cut(strings.TrimSpace(line), " -> ")
			if at := strings.LastIndexByte(name, '@'); isItem {
				name = item
			} else {
				name = name[:at] + strings.ToLower(name[at:])
			}
			theirs = append(theirs, name)
		}
		items, err := Parse(e.Items)
		if err != nil {
			t.Errorf("%s: %v", key, err)
		}
		var ours []string
		for _, i := range items {
			if i.Kind == Address && i.Address.Domain == "" {
				i.Address.Domain = "far.example"
			}
			ours = append(ours, strings.TrimPrefix(show([]Item{i}), "file "))
		}
		slices.Sort(ours)
		slices.Sort(theirs)
		if !slices.Equal(ours, theirs) {
			t.Errorf("%s: Exim has %q; we have %q\n%s", key, theirs, ours, out)
		}
	}
}
