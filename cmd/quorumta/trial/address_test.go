package trial

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorumta/cmd/quorumta/console"
)

const routed = `node: n1
hostname: relay1.example.com
postmaster: postmaster@corp.example
cluster: {members: {n1: 127.0.0.1:7900}, tls: {ca: ca.pem, cert: n1.pem, key: n1.key}}
nets: {inside: [10.0.0.0/8]}
lists: {ours: [corp.example]}
dns: {servers: ["127.0.0.1:9"], zones: {far.example: {file: far.zone}}}
transports: [{name: nowhere, discard: {}}]
routers:
  - {name: journal, if: rcpt.local == "boss", copy: '"journal@far.example"'}
  - {name: aliases, if: rcpt.domain in lists.ours, suffix: ["+*"], suffix_optional: true, redirect: {files: [aliases]}}
  - {name: list, if: rcpt.address == "list@corp.example", redirect: {data: '"ann@far.example, bob@none.far.example, ann@far.example"'}, errors_to: '"owner@corp.example"', headers_add: ['"X-List: 1"']}
  - {name: void, if: rcpt.local == "void", redirect: {data: '":blackhole:"'}}
  - {name: robots, if: client.ip in nets.inside && sender.domain == "robot.example", accept: nowhere, address_data: rcpt.suffix}
  - {name: local, if: rcpt.domain in lists.ours, accept: nowhere, headers_remove: [X-*], address_data: rcpt.local}
  - {name: team, if: 'header["x-team"] == "sales"', accept: nowhere}
  - {name: internet, mx: {}, tls: require}
`

const zone = `$ORIGIN far.example.
@ 60 IN SOA ns hostmaster 1 60 60 60 60
@ 60 IN MX 10 mx1
@ 60 IN MX 20 mx2
mx1 60 IN A 192.0.2.1
mx1 60 IN AAAA 2001:db8::1
mx2 60 IN A 192.0.2.2
null 60 IN MX 0 .
`

func routedFile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"ca.pem": "x", "n1.pem": "x", "n1.key": "x", "quorumta.yaml": routed, "far.zone": zone,
		"aliases": "root: admin\nadmin: ann@far.example\ngone: :fail: 550 5.7.1 left\nlater: :defer: tomorrow\nmixed: admin, gone, later\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "quorumta.yaml")
}

func TestAddress(t *testing.T) {
	path := routedFile(t)
	for name, test := range map[string]struct {
		c      addressCmd
		status int
		want   string
	}{
		"an alias of an alias": {addressCmd{Address: "root+x@corp.example"}, 0, `root+x@corp.example
  journal: skipped, if: rcpt.local == "boss" is false
  aliases: expanded, DIR/aliases:1
    admin@corp.example
      journal: skipped, if: rcpt.local == "boss" is false
      aliases: expanded, DIR/aliases:2
        ann@far.example
          journal: skipped, if: rcpt.local == "boss" is false
          aliases: skipped, if: rcpt.domain in lists.ours is false
          list: skipped, if: rcpt.address == "list@corp.example" is false
          void: skipped, if: rcpt.local == "void" is false
          robots: skipped, if: client.ip in nets.inside && sender.domain == "robot.example" is false
          local: skipped, if: rcpt.domain in lists.ours is false
          team: skipped, if: header["x-team"] == "sales" is false
          internet: accepted
          → delivered by transport smtp, TLS: require
              mx1.far.example [2001:db8::1]:25 group 0
                  TLS is encrypted; tls: require; DANE: on, not asked: the names of the hosts are not secured by DNSSEC; MTA-STS: far.example has no policy
              mx1.far.example [192.0.2.1]:25 group 0
              mx2.far.example [192.0.2.2]:25 group 1
`},
		"a failure":            {addressCmd{Address: "gone@corp.example"}, 2, "  aliases: failed, left\n  → fails: 550 5.7.1 left\n"},
		"a delay":              {addressCmd{Address: "later@corp.example"}, 1, "  → defers: 451 4.3.0 tomorrow\n"},
		"one of several fails": {addressCmd{Address: "mixed@corp.example"}, 2, "    later@corp.example\n"},
		"a null MX":            {addressCmd{Address: "x@null.far.example"}, 2, "takes no mail (null MX)\n"},
		"by sender and client": {addressCmd{Address: "ann@corp.example", who: who{Sender: "x@robot.example", Client: "10.1.2.3"}}, 0, "  robots: accepted\n  → delivered by transport nowhere\n"},
		"by the header":        {addressCmd{Address: "ann@far.example", who: who{Header: []string{"X-Other: 1", "X-Team: sales"}}}, 0, "  team: accepted\n  → delivered by transport nowhere\n"},
		"what is said":         {addressCmd{Address: "ann@corp.example"}, 0, "  aliases: declined, nothing is said of this address\n"},
		"data":                 {addressCmd{Address: "ann@corp.example"}, 0, "  local: accepted\n  → delivered by transport nowhere\n    removes X-*\n    data ann\n"},
		"a list": {addressCmd{Address: "list@corp.example"}, 2, `    errors to <owner@corp.example>
`},
		"a list's fields": {addressCmd{Address: "list@corp.example"}, 2, "adds X-List: 1\n"},
		"nobody":          {addressCmd{Address: "void@far.example"}, 0, "  → thrown away\n"},
		"a copy":          {addressCmd{Address: "boss@corp.example"}, 0, "    boss@corp.example\n      journal: skipped, it has handled this address before\n"},
		"postmaster":      {addressCmd{Address: "postmaster"}, 0, "postmaster@corp.example\n"},
	} {
		test.c.Config = path
		var out bytes.Buffer
		err := test.c.Run(t.Context(), console.Streams{Out: &out, Err: t.Output()})
		got := strings.ReplaceAll(out.String(), filepath.Dir(path), "DIR")
		if console.Status(err) != test.status || !strings.Contains(got, test.want) {
			t.Errorf("%s: status %d, want %d\n%s", name, console.Status(err), test.status, got)
		}
	}
}

// TestWayOut: who signs, the return path, the retry rules by error, the limits and
// the way out are told as well.
func TestWayOut(t *testing.T) {
	path := routedFile(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	more := `
retry: [{name: quick, errors: [refused, timeout], if: 'rcpt.domain == "far.example"', steps: [F 1h 5m]}]
sites: [{name: slow, if: 'site.hosts.exists(h, h == "mx1.far.example")', connections: 2}]
dkim: [{name: corp, domain: '"corp.example"', selector: '"s1"', key: '"dkim.key"'}, {name: next, domain: '"corp.example"', selector: '"s2"', key: '"dkim.key"'}]
batv: {if: 'sender.domain == "corp.example"', keys: {"1": batv.key}, key: "1"}
`
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "discard: {}}]", "discard: {}}, {name: out, smtp: {helo: '\"out.corp.example\"'}}]", 1)
	changed = strings.Replace(changed, "mx: {}, tls: require}", "mx: {}, tls: require, transport: out}", 1)
	for name, text := range map[string][]byte{
		"quorumta.yaml": []byte(changed + more), "batv.key": []byte("secret\n"), "dkim.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	c := addressCmd{Address: "x@far.example", who: who{Sender: "ann@corp.example"}, Config: path}
	if err := c.Run(t.Context(), console.Streams{Out: &out, Err: t.Output()}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"site mx1.far.example:25|mx2.far.example:25 out require helo=out.corp.example\n      leaves EHLO out.corp.example\n      rule slow: 2 connections\n",
		"return path <prvs=1", "=ann@corp.example>\n", "signed: DKIM-Signature a=ed25519-sha256 d=corp.example s=s1\n    signed: DKIM-Signature a=ed25519-sha256 d=corp.example s=s2\n",
		"retry rule quick for refused, refused_A, refused_MX, timeout, timeout_A", "F 1h 5m\n", "no retry rule, the usual steps for *: F 2h 15m, G 16h 1h 1.5, F 4d 6h\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestAddressAsJSON(t *testing.T) {
	var out bytes.Buffer
	c := addressCmd{Address: "list@corp.example", Config: routedFile(t), JSON: true}
	if err := c.Run(t.Context(), console.Streams{Out: &out, Err: t.Output()}); console.Status(err) != 2 {
		t.Errorf("status %d: %v", console.Status(err), err)
	}
	var a answer
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	if a.Result != "expand" || a.Router != "list" || len(a.Into) != 3 || len(a.Steps) != 3 {
		t.Fatalf("got %s", out.String())
	}
	ann, bob, again := a.Into[0], a.Into[1], a.Into[2]
	if ann.Result != "deliver" || len(ann.Hosts) != 3 || ann.ErrorsTo == nil || *ann.ErrorsTo != "owner@corp.example" || bob.Result != "fail" || again.Result != "duplicate" {
		t.Errorf("got %s", out.String())
	}
}

func TestAddressRefuses(t *testing.T) {
	path := routedFile(t)
	for name, c := range map[string]addressCmd{
		"no address": {Address: "a b"}, "null": {}, "client": {Address: "a@b.example", who: who{Client: "x"}}, "sender": {Address: "a@b.example", who: who{Sender: "x y"}}, "header": {Address: "a@b.example", who: who{Header: []string{"X Team: 1"}}},
	} {
		c.Config = path
		if err := c.Run(t.Context(), console.Streams{Out: t.Output(), Err: t.Output()}); console.Status(err) != console.ExitUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExpressions(t *testing.T) {
	path := routedFile(t)
	for expr, want := range map[string]string{
		`rcpt.domain in lists.ours`:                      "true\n",
		`client.ip in nets.inside && client.login == ""`: "false\n",
		`"<" + rcpt.address + "> " + sender.local`:       "<ann@corp.example> robot\n",
		`header.subject + "."`:                           ".\n",
		`rcpt.size`:                                      "!unknown name rcpt.size",
		`rcpt.local.split("@")[3]`:                       "!evaluate",
	} {
		var out bytes.Buffer
		c := expressionCmd{Expression: expr, Rcpt: "ann@corp.example", Config: path, who: who{Sender: "robot@x.example", Client: "192.0.2.1"}}
		err := c.Run(console.Streams{Out: &out, Err: t.Output()})
		if wrong, ok := strings.CutPrefix(want, "!"); ok {
			if err == nil || !strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: got %q, %v", expr, out.String(), err)
			}
		} else if err != nil || out.String() != want {
			t.Errorf("%s: got %q, %v", expr, out.String(), err)
		}
	}
}
