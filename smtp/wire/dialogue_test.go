package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	hello4  = "EHLO client.example.org\r\n"
	begin4  = hello4 + "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\n"
	opened  = "220 250 250/2.1.0 250/2.1.5 "
	taken4  = "Subject: x\r\n\r\nhello\r\n"
	another = "MAIL FROM:<c@example.org>\r\nRCPT TO:<d@example.org>\r\nDATA\r\nsecond\r\n.\r\nQUIT\r\n"
	second  = " 250/2.1.0 250/2.1.5 354 250/2.0.0 221/2.0.0"
)

// dialogue is what a client says, and what comes of it.
type dialogue struct {
	name     string
	input    string
	replies  string   // as codes gives them
	contents []string // of the messages taken
}

// good are dialogues of correct clients.
var good = []dialogue{
	{"one message", begin4 + "DATA\r\n" + taken4 + ".\r\nQUIT\r\n", opened + "354 250/2.0.0 221/2.0.0", []string{taken4}},
	{"two messages", begin4 + "DATA\r\n" + taken4 + ".\r\n" + another, opened + "354 250/2.0.0" + second, []string{taken4, "second\r\n"}},
	{"empty content", begin4 + "DATA\r\n.\r\nQUIT\r\n", opened + "354 250/2.0.0 221/2.0.0", []string{""}},
	{"dots", begin4 + "DATA\r\n..\r\n...x\r\n.x\r\nx.\r\n.\r\nQUIT\r\n", opened + "354 250/2.0.0 221/2.0.0", []string{".\r\n..x\r\nx\r\nx.\r\n"}},
	{"HELO", "HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<b@x>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n", "220 250 250/2.1.0 250/2.1.5 354 250/2.0.0 221/2.0.0", []string{"x\r\n"}},
	{"postmaster", hello4 + "MAIL FROM:<a@x>\r\nRCPT TO:<postmaster>\r\nQUIT\r\n", "220 250 250/2.1.0 250/2.1.5 221/2.0.0", nil},
	{"case and spaces", "ehlo x\r\nmail from: <a@x> size=10 BODY=8bitmime  \r\nRcpt To: <b@x>\r\nnoop any thing\r\nrset\r\nquit\r\n", "220 250 250/2.1.0 250/2.1.5 250/2.0.0 250/2.0.0 221/2.0.0", nil},
	{"no angle brackets", hello4 + "MAIL FROM:a@x\r\nRCPT TO:b@x\r\nQUIT\r\n", "220 250 250/2.1.0 250/2.1.5 221/2.0.0", nil},
	{"DSN", hello4 + "MAIL FROM:<a@x> RET=HDRS ENVID=QQ+2B1\r\nRCPT TO:<b@x> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+40x\r\nRCPT TO:<c@x> NOTIFY=NEVER ORCPT=utf-8;\\x{E9}@x\r\nQUIT\r\n", "220 250 250/2.1.0 250/2.1.5 250/2.1.5 221/2.0.0", nil},
	{"BDAT", begin4 + "BDAT 5 LAST\r\nabc\r\nQUIT\r\n", opened + "250/2.0.0 221/2.0.0", []string{"abc\r\n"}},
	{"BDAT in chunks", begin4 + "BDAT 4\r\nab\r\nBDAT 1\r\ncNOOP\r\nBDAT 2 LAST\r\n\r\nQUIT\r\n", opened + "250/2.0.0 250/2.0.0 250/2.0.0 250/2.0.0 221/2.0.0", []string{"ab\r\nc\r\n"}},
	{"BDAT with an empty end", begin4 + "BDAT 5\r\nabc\r\nBDAT 0 LAST\r\nQUIT\r\n", opened + "250/2.0.0 250/2.0.0 221/2.0.0", []string{"abc\r\n"}},
	{"BDAT without a line end", begin4 + "BDAT 3 LAST\r\nabcQUIT\r\n", opened + "250/2.0.0 221/2.0.0", []string{"abc\r\n"}},
	{"BDAT and dots", begin4 + "BDAT 8 LAST\r\n.\r\n..x\r\nQUIT\r\n", opened + "250/2.0.0 221/2.0.0", []string{".\r\n..x\r\n"}},
	{"BDAT given up", begin4 + "BDAT 3\r\nabcRSET\r\n" + another, opened + "250/2.0.0 250/2.0.0" + second, []string{"second\r\n"}},
	{"RSET", begin4 + "RSET\r\n" + another, opened + "250/2.0.0" + second, []string{"second\r\n"}},
	{"EHLO again", begin4 + hello4 + another, opened + "250" + second, []string{"second\r\n"}},
	{"VRFY, HELP", hello4 + "VRFY a\r\nHELP\r\nQUIT\r\n", "220 250 252/2.1.5 214/2.0.0 221/2.0.0", nil},
}

func play(t *testing.T, d dialogue) {
	t.Helper()
	for _, step := range []int{1, 2, 3, 7, 1 << 20} {
		b := &recorder{}
		replies, _ := talk(d.input, step, testOptions(b))
		if got := codes(replies); got != d.replies {
			t.Errorf("step %d: replies\n got %s\nwant %s\n%s", step, got, d.replies, replies)
		}
		var contents []string
		for _, m := range b.all() {
			contents = append(contents, m.content)
		}
		if diff := cmp.Diff(d.contents, contents); diff != "" {
			t.Errorf("step %d: contents: %s", step, diff)
		}
	}
}

func TestGoodDialogues(t *testing.T) {
	for _, d := range good {
		t.Run(d.name, func(t *testing.T) { play(t, d) })
	}
}

func TestRepliesAreGathered(t *testing.T) {
	conn := &scripted{in: []byte(begin4 + "DATA\r\nx\r\n.\r\nQUIT\r\n"), step: 1 << 20}
	NewConn(t.Context(), conn, testOptions(&recorder{})).Serve()
	// One write before the first read, one with everything else.
	if conn.writes != 2 {
		t.Errorf("%d writes", conn.writes)
	}
}

func TestExtensions(t *testing.T) {
	replies, _ := talk(hello4, 100, testOptions(&recorder{}))
	want := "220 mx.example.org ESMTP quorumta\r\n250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 10000\r\n250-8BITMIME\r\n" +
		"250-SMTPUTF8\r\n250-CHUNKING\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 LIMITS RCPTMAX=3\r\n"
	if replies != want {
		t.Errorf("got %q", replies)
	}
}

func TestSessionPanicIsA4yz(t *testing.T) {
	replies, _ := talk(hello4+"MAIL FROM:<panic@example.org>\r\nNOOP\r\n", 100, testOptions(&recorder{}))
	if got := codes(replies); got != "220 250 421/4.3.0" {
		t.Errorf("got %s", got)
	}
}

func TestSessionRefusesEarly(t *testing.T) {
	for name, send := range map[string]string{
		"DATA": "DATA\r\n" + strings.Repeat("x\r\n", 1000) + ".\r\n",
		"BDAT": fmt.Sprintf("BDAT 3000 LAST\r\n%s", strings.Repeat("x\r\n", 1000)),
	} {
		t.Run(name, func(t *testing.T) {
			b := &recorder{refuse: func(n int) error {
				if n > 200 {
					return refusal(451, 4, 3, 0, "no")
				}
				return nil
			}}
			replies, _ := talk(begin4+send+"NOOP\r\nQUIT\r\n", 100, testOptions(b))
			want := strings.TrimSpace(opened + map[string]string{"DATA": "354 ", "BDAT": ""}[name] + "451/4.3.0 250/2.0.0 221/2.0.0")
			if got := codes(replies); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestSessionThatDoesNotReadIsNotBelieved(t *testing.T) {
	begin := strings.Replace(begin4, "a@", "lazy@", 1)
	replies, _ := talk(begin+"DATA\r\nx\r\n.\r\n"+begin+"BDAT 3 LAST\r\nx\r\nQUIT\r\n", 100, testOptions(&recorder{}))
	if got := codes(replies); got != opened+"354 451/4.3.0 250 250/2.1.0 250/2.1.5 451/4.3.0 221/2.0.0" {
		t.Errorf("got %s", got)
	}
}
