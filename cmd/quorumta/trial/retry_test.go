package trial

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quorumta/cmd/quorumta/console"
	"quorumta/internal/config"
)

const file = `node: n1
hostname: relay1.example.com
postmaster: postmaster@corp.example
cluster: {members: {n1: 127.0.0.1:7900}, tls: {ca: ca.pem, cert: n1.pem, key: n1.key}}
routers: [{name: internet, mx: {}}]
dsn: {warn_after: [4h, 1d]}
retry:
  - {name: never, if: 'rcpt.domain == "gone.example"', steps: []}
  - {name: greylisted, errors: [rcpt_45x, mail_450], if: 'sender.domain == "corp.example"', steps: [F 1h 5m], warn_after: []}
  - {name: slow, errors: [timeout_connect_MX, lost_connection], steps: [F 2h 1h, G 2d 2h 2]}
`

// write puts a configuration and the files it names into a folder.
func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"ca.pem": "x", "n1.pem": "x", "n1.key": "x", "quorumta.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "quorumta.yaml")
}

// TestRetry: the rule is named, and the attempts follow its steps.
func TestRetry(t *testing.T) {
	path := write(t, file)
	for name, test := range map[string]struct {
		c    retryCmd
		rule string
		want string // ages of the attempts, in hours; then the end, and the warnings
	}{
		"final at once":      {retryCmd{Address: "a@gone.example", Error: "*"}, "never", "0 warn"},
		"greylisted":         {retryCmd{Address: "a@b.example", Sender: "x@corp.example", Error: "rcpt_451", Limit: 2}, "greylisted", "0.083 0.166 1 warn"},
		"of another sender":  {retryCmd{Address: "a@b.example", Error: "rcpt_451", Limit: 3}, "", "0.25 0.5 0.75 96 warn 4 24 44 64 84"},
		"another digit":      {retryCmd{Address: "a@b.example", Sender: "x@corp.example", Error: "mail_451", Limit: 1}, "", "0.25 96 warn 4 24 44 64 84"},
		"silent MX, growing": {retryCmd{Address: "b.example", Error: "timeout_connect_MX"}, "slow", "1 2 4 8 16 32 48 48 warn 4 24 44"},
	} {
		test.c.Config, test.c.JSON = path, true
		if test.c.Limit == 0 {
			test.c.Limit = 40
		}
		var out bytes.Buffer
		if err := test.c.Run(console.Streams{Out: &out, Err: &out}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got retryPlan
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		var words []string
		hours := func(s int64) { words = append(words, strings.TrimSuffix(strings.TrimRight(jsonNumber(s), "0"), ".")) }
		for _, a := range got.Attempts {
			hours(a.AfterS)
		}
		hours(got.FinalAfter)
		words = append(words, "warn")
		for _, s := range got.Warnings {
			hours(s)
		}
		if text := strings.Join(words, " "); text != test.want || got.Rule != test.rule {
			t.Errorf("%s: rule %q: %s, want %s", name, got.Rule, text, test.want)
		}
	}
}

// jsonNumber is seconds as hours with three digits, cut.
func jsonNumber(seconds int64) string {
	whole, rest := seconds/3600, seconds%3600*1000/3600
	digits := []byte{'0' + byte(rest/100), '0' + byte(rest/10%10), '0' + byte(rest%10)}
	b, _ := json.Marshal(whole)
	return string(b) + "." + string(digits)
}

func TestRetryForPeople(t *testing.T) {
	path := write(t, file)
	var out bytes.Buffer
	c := retryCmd{Address: "a@b.example", Error: "lost_connection", Config: path, Limit: 1}
	if err := c.Run(console.Streams{Out: &out, Err: &out}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"never: passes, if: rcpt.domain == \"gone.example\" is false\ngreylisted: passes, errors: it is for rcpt_45x, mail_450\nslow: fits\nrule slow for lost_connection: F 2h 1h, G 2d 2h 2\n", "after 1h0m0s  F 2h 1h\n", "told of the delay at the first attempt after 4h0m0s\n", "a failure after 48h0m0s is final\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	c = retryCmd{Address: "gone.example", Error: "*", Config: path}
	if err := c.Run(console.Streams{Out: &out, Err: &out}); err != nil || out.String() != "never: fits\nrule never for *: \nthe first failure is final\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestRetryRefuses(t *testing.T) {
	path := write(t, file)
	var usage console.UsageError
	for _, c := range []retryCmd{
		{Address: "a@b.example", Error: "rcpt_552"},
		{Address: "a@b@", Error: "*"},
		{Address: "a@b.example", Error: "*", Sender: "nobody@"},
	} {
		c.Config = path
		if err := c.Run(console.Streams{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}}); !errors.As(err, &usage) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	broken := write(t, strings.Replace(strings.Replace(file, "F 1h 5m", "F 1h", 1), "lost_connection", "lost_conection", 1))
	var faults config.Faults
	c := retryCmd{Address: "a@b.example", Error: "*", Config: broken}
	err := c.Run(console.Streams{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
	if !errors.As(err, &faults) || len(faults) != 2 || faults[0].Line != 9 || faults[1].Line != 10 {
		t.Errorf("got %v", err)
	}
}
