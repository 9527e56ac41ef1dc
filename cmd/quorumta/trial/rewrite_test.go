package trial

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quorumta/cmd/quorumta/console"
)

const rewriting = file + `rewrites:
  - {name: canonical, if: 'address.domain == "old.example"', to: 'address.local + "@new.example"'}
  - {name: boss, if: 'address.address == "boss@new.example"', to: '"The Boss <ceo@new.example>"', in: [from], whole: true, stop: true}
  - {name: silent, if: 'sender.domain == "robot.example" && address.local == "robot"', to: '"<>"', in: [envelope_from]}
  - {name: broken, if: 'address.local == "broken"', to: address.local, in: [smtp]}
`

// TestRewrite: each place has its result, and the rules that fitted.
func TestRewrite(t *testing.T) {
	path := write(t, rewriting)
	run := func(c rewriteCmd) (string, error) {
		c.Config = path
		var out bytes.Buffer
		err := c.Run(console.Streams{Out: &out, Err: &out})
		return out.String(), err
	}
	for want, c := range map[string]rewriteCmd{
		`from           "The Boss" <ceo@new.example>  canonical: boss@new.example, boss: ceo@new.example`: {Address: "boss@old.example"},
		`envelope_from  boss@new.example              canonical: boss@new.example`:                        {Address: "boss@old.example"},
		`smtp           boss@old.example`: {Address: "boss@old.example"},
		`envelope_from  <>  silent: <>`:   {Address: "robot@x.example", In: "envelope_from", who: who{Sender: "robot@robot.example"}},
		`smtp           waits: 4.3.5 rewrite rule broken, broken@x.example: its result "broken"`: {Address: "broken@x.example"},
		`"result": "ceo@new.example"`: {Address: "boss@old.example", JSON: true, In: "from"},
		`"phrase": "The Boss"`:        {Address: "boss@old.example", JSON: true},
	} {
		out, err := run(c)
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%+v: %v\n%s\nwant %s", c, err, out, want)
		}
	}
	if out, err := run(rewriteCmd{Address: "a@old.example"}); err != nil || strings.Count(out, "a@new.example  canonical") != 8 || strings.Count(out, "\n") != 9 {
		t.Errorf("%v\n%s", err, out)
	}
	for _, c := range []rewriteCmd{{Address: "nobody"}, {Address: "a@b.example", In: "date"}} {
		if _, err := run(c); !errors.As(err, new(console.UsageError)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

const rewritingLists = `node: n1
hostname: relay1.example.com
postmaster: postmaster@corp.example
cluster: {members: {n1: 127.0.0.1:7900}, tls: {ca: ca.pem, cert: n1.pem, key: n1.key}}
transports: [{name: nowhere, discard: {}}]
rewrites:
  - {name: canonical, if: 'address.domain == "old.example"', to: 'address.local + "@new.example"', in: [envelope_to]}
  - {name: sender, if: 'address.local == "ann"', to: '"never@x.example"', in: [envelope_from, headers, smtp]}
  - {name: broken, if: 'address.local == "broken"', to: '"no address"', in: [envelope_to]}
routers:
  - {name: list, if: rcpt.local == "list", redirect: {data: '"ann@old.example, bob@else.example, ann@new.example, more@corp.example"'}}
  - {name: more, if: rcpt.local == "more", redirect: {data: '"cid@OLD.example"'}}
  - {name: raw, if: rcpt.local == "raw", redirect: {data: '"dan@old.example"', rewrite: false}}
  - {name: journal, if: rcpt.local == "boss", copy: '"journal@old.example"'}
  - {name: bad, if: rcpt.local == "bad", redirect: {data: '"broken@old.example"'}}
  - {name: rest, accept: nowhere}
`

const eximLists = `
primary_hostname = us.example
spool_directory = %[1]s
log_file_path = %[1]s/%%slog
begin rewrite
*@old.example "$local_part@new.example" T
ann@*         "never@x.example"         Fh
begin routers
list:
  driver = redirect
  local_parts = list
  data = ann@old.example, bob@else.example, ann@new.example, more@corp.example
more:
  driver = redirect
  local_parts = more
  data = cid@OLD.example
raw:
  driver = redirect
  local_parts = raw
  data = dan@old.example
  rewrite = false
journal:
  driver = redirect
  local_parts = boss
  data = journal@old.example
  unseen
rest:
  driver = accept
  transport = nowhere
begin transports
nowhere:
  driver = appendfile
  file = /dev/null
  user = root
`

// leaves are the addresses that mail for one goes to in the end, sorted.
func (a *answer) leaves() []string {
	if a.Result == "deliver" {
		return []string{a.Address}
	}
	var all []string
	for _, child := range a.Into {
		all = append(all, child.leaves()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestRewritesWhatARedirectMakes: as Exim's -bt has it, addresses that come in
// the place of others are rewritten, unless the router says rewrite: false.
func TestRewritesWhatARedirectMakes(t *testing.T) {
	exim, err := exec.LookPath("exim4")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("needs the Debian package exim4-daemon-light")
		}
		t.Skip("needs the Debian package exim4-daemon-light")
	}
	path := write(t, rewritingLists)
	ask := func(address string) (answer, string) {
		var out bytes.Buffer
		c := addressCmd{Address: address, Config: path, JSON: true, who: who{Sender: "ann@corp.example"}}
		if err := c.Run(t.Context(), console.Streams{Out: &out, Err: t.Output()}); console.Status(err) > 1 {
			t.Fatal(err)
		}
		var a answer
		if err := json.Unmarshal(out.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		return a, out.String()
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "exim.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, eximLists, dir), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ address, want string }{
		{"list@corp.example", "ann@new.example bob@else.example cid@new.example"},
		{"raw@corp.example", "dan@old.example"},
		{"boss@corp.example", "boss@corp.example journal@new.example"},
		{"ann@old.example", "ann@old.example"}, // rewritten at reception, if at all
	} {
		a, text := ask(c.address)
		ours := strings.Join(a.leaves(), " ")
		if ours != c.want || strings.Contains(c.want, "new.example") != strings.Contains(text, "data, rewritten by canonical") {
			t.Errorf("%s goes to %s, not %s\n%s", c.address, ours, c.want, text)
		}
		out, err := exec.Command(exim, "-C", conf, "-f", "ann@corp.example", "-bt", c.address).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", c.address, err, out)
		}
		var theirs []string
		for line := range strings.Lines(string(out)) {
			if name, _, _ := strings.Cut(strings.TrimSpace(line), " "); line[0] != ' ' && strings.Contains(name, "@") {
				theirs = append(theirs, name)
			}
		}
		slices.Sort(theirs)
		if got := strings.Join(slices.Compact(theirs), " "); got != ours && c.address != "ann@old.example" {
			t.Errorf("%s goes to %s, with Exim to %s\n%s", c.address, ours, got, out)
		}
	}
	if a, text := ask("bad@corp.example"); a.Result != "defer" || !strings.Contains(text, "4.3.5") || !strings.Contains(text, "rewrite rule broken, broken@new.example") {
		t.Errorf("got %s", text)
	}
}
