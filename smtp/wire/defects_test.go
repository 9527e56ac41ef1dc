package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// defects are dialogues that servers of this contract got wrong, beside those
// of the tables good and bad; docs/standards.md says which row stands where.
var defects = []dialogue{
	{"parameters of extensions that are not offered", hello4 + "MAIL FROM:<a@x> BY=120;R\r\nMAIL FROM:<a@x> MT-PRIORITY=3\r\nMAIL FROM:<a@x> REQUIRETLS\r\nMAIL FROM:<a@x> HOLDFOR=10\r\nQUIT\r\n", "220 250 555/5.5.4 555/5.5.4 555/5.5.4 555/5.5.4 221/2.0.0", nil},
	{"refused recipients count as errors", hello4 + "MAIL FROM:<a@x>\r\n" + strings.Repeat("RCPT TO:<no@x>\r\n", 6), "220 250 250/2.1.0" + strings.Repeat(" 550/5.1.1", 5) + " 421/4.7.0", nil},
	{"dots behind CR CR LF", begin4 + "DATA\r\na\r\r\n..y\r\n.\r\n" + another, opened + "354 550/5.5.2" + second, []string{"second\r\n"}},
	{"a dot with spaces ends nothing", begin4 + "DATA\r\n. \r\n.\t\r\n .\r\n.\r\nQUIT\r\n", opened + "354 250/2.0.0 221/2.0.0", []string{" \r\n\t\r\n .\r\n"}},
}

func TestDefects(t *testing.T) {
	for _, d := range defects {
		t.Run(d.name, func(t *testing.T) { play(t, d) })
	}
}

// TestQuotedLocalParts: a local-part that is quoted stays so; without its
// quotes another part of the system could see another domain.
func TestQuotedLocalParts(t *testing.T) {
	want := []string{`"a b"@x`, `"b@evil"@x`, `"c>d\""@x`}
	var input strings.Builder
	input.WriteString(hello4 + "MAIL FROM:<a@x>\r\n")
	for _, to := range want {
		input.WriteString("RCPT TO:<" + to + ">\r\n")
	}
	b := &recorder{}
	replies, _ := talk(input.String()+"DATA\r\n.\r\nQUIT\r\n", 1<<20, testOptions(b))
	if len(b.all()) != 1 {
		t.Fatal(replies)
	}
	if diff := cmp.Diff(want, b.all()[0].to); diff != "" {
		t.Error(diff)
	}
}

// TestChunkWithoutLineEnd: clients that pipeline send BDAT and its octets in
// one write; how long a command may be does not concern them.
func TestChunkWithoutLineEnd(t *testing.T) {
	b := &recorder{}
	o := testOptions(b)
	o.MaxLine = 10_000
	chunk := strings.Repeat("x", 6000)
	replies, _ := talk(begin4+fmt.Sprintf("BDAT %d LAST\r\n%sQUIT\r\n", len(chunk), chunk), 1<<20, o)
	if codes(replies) != opened+"250/2.0.0 221/2.0.0" || b.all()[0].content != chunk+"\r\n" {
		t.Error(replies)
	}
}
