package trial

import (
	"bytes"
	"errors"
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
