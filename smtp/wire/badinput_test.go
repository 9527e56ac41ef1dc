package wire

import (
	"strings"
	"testing"
)

// bad is the table of bad input of docs/badinput.md as far as a script can
// play it: the reply, and whether the connection goes on (QUIT is answered) or
// is closed.
var bad = []dialogue{
	{"unknown command", "XYZZY\r\nQUIT\r\n", "220 500/5.5.2 221/2.0.0", nil},
	{"empty line", "\r\nQUIT\r\n", "220 500/5.5.2 221/2.0.0", nil},
	{"another protocol", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "220 521/5.5.1", nil},
	{"bare LF ends a command", "EHLO x\nQUIT\r\n", "220 500/5.5.2 221/2.0.0", nil},
	{"bare CR in a command", "EHLO x\rNOOP\r\nQUIT\r\n", "220 500/5.5.2 221/2.0.0", nil},
	{"NUL in a command", "EHLO x\x00\r\nQUIT\r\n", "220 500/5.5.2 221/2.0.0", nil},
	{"control character in a command", "EHLO x\x07\r\nQUIT\r\n", "220 500/5.5.2 221/2.0.0", nil},
	{"command is not UTF-8", "EHLO \xff\r\nQUIT\r\n", "220 500/5.5.2 221/2.0.0", nil},
	{"command line too long", "NOOP " + strings.Repeat("x", 600) + "\r\nQUIT\r\n", "220 500/5.5.2 221/2.0.0", nil},
	{"command line exactly at the limit", "NOOP " + strings.Repeat("x", 505) + "\r\nQUIT\r\n", "220 250/2.0.0 221/2.0.0", nil},
	{"endless command line", strings.Repeat("x", 100_000), "220 500/5.5.2", nil},
	{"EHLO without a name", "EHLO\r\nQUIT\r\n", "220 501/5.5.4 221/2.0.0", nil},
	{"EHLO with a strange name", "EHLO a(b\r\nQUIT\r\n", "220 501/5.5.4 221/2.0.0", nil},
	{"MAIL before EHLO", "MAIL FROM:<a@x>\r\nQUIT\r\n", "220 503/5.5.1 221/2.0.0", nil},
	{"RCPT before MAIL", hello4 + "RCPT TO:<a@x>\r\nQUIT\r\n", "220 250 503/5.5.1 221/2.0.0", nil},
	{"DATA before MAIL", hello4 + "DATA\r\nQUIT\r\n", "220 250 503/5.5.1 221/2.0.0", nil},
	{"DATA without recipients", hello4 + "MAIL FROM:<a@x>\r\nRCPT TO:<no@x>\r\nDATA\r\nQUIT\r\n", "220 250 250/2.1.0 550/5.1.1 554/5.5.1 221/2.0.0", nil},
	{"DATA with an argument", begin4 + "DATA now\r\nQUIT\r\n", opened + "501/5.5.4 221/2.0.0", nil},
	{"nested MAIL", begin4 + "MAIL FROM:<c@x>\r\nQUIT\r\n", opened + "503/5.5.1 221/2.0.0", nil},
	{"MAIL syntax", hello4 + "MAIL a@x\r\nMAIL FROM:<a@x\r\nMAIL FROM:<a@x>SIZE=1\r\nMAIL FROM:\r\nQUIT\r\n", "220 250 501/5.5.4 501/5.5.4 501/5.5.4 501/5.5.4 221/2.0.0", nil},
	{"RCPT syntax", hello4 + "MAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:\r\nRCPT <b@x>\r\nQUIT\r\n", "220 250 250/2.1.0 501/5.5.4 501/5.5.4 501/5.5.4 221/2.0.0", nil},
	{"unknown parameter", hello4 + "MAIL FROM:<a@x> COLOUR=red\r\nQUIT\r\n", "220 250 555/5.5.4 221/2.0.0", nil},
	{"parameter twice", hello4 + "MAIL FROM:<a@x> SIZE=1 size=2\r\nQUIT\r\n", "220 250 501/5.5.4 221/2.0.0", nil},
	{"BINARYMIME", hello4 + "MAIL FROM:<a@x> BODY=BINARYMIME\r\nQUIT\r\n", "220 250 555/5.5.4 221/2.0.0", nil},
	{"SIZE beyond the limit", hello4 + "MAIL FROM:<a@x> SIZE=10001\r\nQUIT\r\n", "220 250 552/5.3.4 221/2.0.0", nil},
	{"SIZE is no number", hello4 + "MAIL FROM:<a@x> SIZE=-1\r\nQUIT\r\n", "220 250 501/5.5.4 221/2.0.0", nil},
	{"ENVID is no xtext", hello4 + "MAIL FROM:<a@x> ENVID=+0A\r\nQUIT\r\n", "220 250 501/5.5.4 221/2.0.0", nil},
	{"ORCPT is no xtext", hello4 + "MAIL FROM:<a@x>\r\nRCPT TO:<b@x> ORCPT=rfc822;+zz\r\nQUIT\r\n", "220 250 250/2.1.0 501/5.5.4 221/2.0.0", nil},
	{"NOTIFY with NEVER and more", hello4 + "MAIL FROM:<a@x>\r\nRCPT TO:<b@x> NOTIFY=NEVER,DELAY\r\nQUIT\r\n", "220 250 250/2.1.0 501/5.5.4 221/2.0.0", nil},
	{"UTF-8 without SMTPUTF8", hello4 + "MAIL FROM:<é@x>\r\nMAIL FROM:<a@x>\r\nRCPT TO:<é@x>\r\nQUIT\r\n", "220 250 553/5.6.7 250/2.1.0 553/5.6.7 221/2.0.0", nil},
	{"UTF-8 with SMTPUTF8", hello4 + "MAIL FROM:<é@x> SMTPUTF8\r\nRCPT TO:<é@x>\r\nQUIT\r\n", "220 250 250/2.1.0 250/2.1.5 221/2.0.0", nil},
	{"too many recipients", begin4 + "RCPT TO:<c@x>\r\nRCPT TO:<d@x>\r\nRCPT TO:<e@x>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n", opened + "250/2.1.5 250/2.1.5 452/4.5.3 354 250/2.0.0 221/2.0.0", []string{"x\r\n"}},
	{"too many errors", "A\r\nB\r\nC\r\nD\r\nE\r\nF\r\n", "220 500/5.5.2 500/5.5.2 500/5.5.2 500/5.5.2 500/5.5.2 421/4.7.0", nil},
	{"errors are forgiven by a message", "A\r\nB\r\nC\r\n" + begin4 + "DATA\r\nx\r\n.\r\nA\r\nB\r\nC\r\nQUIT\r\n", "220 500/5.5.2 500/5.5.2 500/5.5.2 250 250/2.1.0 250/2.1.5 354 250/2.0.0 500/5.5.2 500/5.5.2 500/5.5.2 221/2.0.0", []string{"x\r\n"}},
	{"STARTTLS where there is none", "EHLO x\r\nSTARTTLS\r\nQUIT\r\n", "220 250 502/5.5.1 221/2.0.0", nil},

	{"bare LF in content", begin4 + "DATA\r\na\nb\r\n.\r\n" + another, opened + "354 550/5.5.2" + second, []string{"second\r\n"}},
	{"bare CR in content", begin4 + "DATA\r\na\rb\r\n.\r\n" + another, opened + "354 550/5.5.2" + second, []string{"second\r\n"}},
	{"NUL in content", begin4 + "DATA\r\na\x00b\r\n.\r\n" + another, opened + "354 550/5.6.0" + second, []string{"second\r\n"}},
	{"CR CR LF . CR LF", begin4 + "DATA\r\na\r\r\n.\r\n" + another, opened + "354 550/5.5.2" + second, []string{"second\r\n"}},
	{"CR . CR", begin4 + "DATA\r\na\r.\r\r\n.\r\n" + another, opened + "354 550/5.5.2" + second, []string{"second\r\n"}},
	{"CR LF . CR x", begin4 + "DATA\r\na\r\n.\rx\r\n.\r\n" + another, opened + "354 550/5.5.2" + second, []string{"second\r\n"}},
	{"LF . LF smuggles", begin4 + "DATA\r\na\n.\n" + another, opened + "354 521/5.5.2", nil},
	{"LF . CR LF smuggles", begin4 + "DATA\r\na\n.\r\n" + another, opened + "354 521/5.5.2", nil},
	{"CR LF . LF smuggles", begin4 + "DATA\r\na\r\n.\n" + another, opened + "354 521/5.5.2", nil},
	{"bare LF and a dot with text", begin4 + "DATA\r\na\n.b\r\n.\r\n" + another, opened + "354 550/5.5.2" + second, []string{"second\r\n"}},
	{"line of content too long", begin4 + "DATA\r\n" + strings.Repeat("x", 999) + "\r\n.\r\n" + another, opened + "354 550/5.6.0" + second, []string{"second\r\n"}},
	{"line of content at the limit", begin4 + "DATA\r\n" + strings.Repeat("x", 998) + "\r\n.\r\nQUIT\r\n", opened + "354 250/2.0.0 221/2.0.0", []string{strings.Repeat("x", 998) + "\r\n"}},
	{"content too big", begin4 + "DATA\r\n" + strings.Repeat("0123456\r\n", 1200) + ".\r\n" + another, opened + "354 552/5.3.4" + second, []string{"second\r\n"}},
	{"content far too big", begin4 + "DATA\r\n" + strings.Repeat("0123456\r\n", 20_000) + ".\r\n" + another, opened + "354 552/5.3.4", nil},
	{"cut off in content", begin4 + "DATA\r\nabc\r\n", opened + "354", nil},
	{"cut off before the dot's line end", begin4 + "DATA\r\nabc\r\n.\r", opened + "354", nil},

	{"BDAT without a size", begin4 + "BDAT\r\nQUIT\r\n", opened + "501/5.5.4", nil},
	{"BDAT with a bad size", begin4 + "BDAT -1\r\nQUIT\r\n", opened + "501/5.5.4", nil},
	{"BDAT with a bad size after a good one", begin4 + "BDAT 1\r\naBDAT x\r\nQUIT\r\n", opened + "250/2.0.0 501/5.5.4", nil},
	{"BDAT before MAIL", hello4 + "BDAT 6 LAST\r\nQUIT\r\n" + another, "220 250 503/5.5.1" + second, []string{"second\r\n"}},
	{"BDAT without recipients", hello4 + "MAIL FROM:<a@x>\r\nBDAT 6 LAST\r\nQUIT\r\nQUIT\r\n", "220 250 250/2.1.0 554/5.5.1 221/2.0.0", nil},
	{"BDAT with a bare LF", begin4 + "BDAT 3\r\na\nbBDAT 3 LAST\r\nabc" + another, opened + "550/5.5.2 503/5.5.1" + second, []string{"second\r\n"}},
	{"BDAT with a bare CR over two chunks", begin4 + "BDAT 2\r\na\rBDAT 3 LAST\r\nabc" + another, opened + "250/2.0.0 550/5.5.2" + second, []string{"second\r\n"}},
	{"BDAT that ends with CR", begin4 + "BDAT 2 LAST\r\na\r" + another, opened + "550/5.5.2" + second, []string{"second\r\n"}},
	{"BDAT with NUL", begin4 + "BDAT 3 LAST\r\na\x00b" + another, opened + "550/5.6.0" + second, []string{"second\r\n"}},
	{"BDAT too big", begin4 + "BDAT 10001 LAST\r\n" + strings.Repeat("x", 10_001) + another, opened + "552/5.3.4" + second, []string{"second\r\n"}},
	{"BDAT too big in sum", begin4 + "BDAT 9000\r\n" + strings.Repeat("0123456\r\n", 1000) + "BDAT 1001 LAST\r\n" + strings.Repeat("x", 1001) + another, opened + "250/2.0.0 552/5.3.4" + second, []string{"second\r\n"}},
	{"BDAT far too big", begin4 + "BDAT 1000000000 LAST\r\nxyz", opened + "552/5.3.4", nil},
	{"DATA between chunks", begin4 + "BDAT 1\r\naDATA\r\nBDAT 0 LAST\r\nQUIT\r\n", opened + "250/2.0.0 503/5.5.1 250/2.0.0 221/2.0.0", []string{"a\r\n"}},
	{"cut off in a chunk", begin4 + "BDAT 10 LAST\r\nabc", opened[:len(opened)-1], nil},
	{"cut off between chunks", begin4 + "BDAT 3\r\nabc", opened + "250/2.0.0", nil},
}

func TestBadInput(t *testing.T) {
	for _, d := range bad {
		t.Run(d.name, func(t *testing.T) { play(t, d) })
	}
}
