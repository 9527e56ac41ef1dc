package smtpc

import (
	"bufio"
	"errors"
	"strings"
	"testing"

	"quorumta/delivery/transport"
	"quorumta/internal/mail"
)

func TestReadReply(t *testing.T) {
	for _, c := range []struct {
		in   string
		want mail.Reply
	}{
		{"250 2.1.5 Ok\r\n", mail.Reply{Code: 250, Enhanced: "2.1.5", Text: "Ok"}},
		{"250\r\n", mail.Reply{Code: 250}},
		{"250 \n", mail.Reply{Code: 250}},
		{"550-5.1.1 no\r\n550 5.1.1 such user\r\n", mail.Reply{Code: 550, Enhanced: "5.1.1", Text: "no\nsuch user"}},
		{"550-first\r\n550 second\r\n", mail.Reply{Code: 550, Text: "first\nsecond"}},
		{"450 5.1.1 wrong class\r\n", mail.Reply{Code: 450, Text: "5.1.1 wrong class"}},
		{"250 2.0 no code\r\n", mail.Reply{Code: 250, Text: "2.0 no code"}},
		{"250 2.0.0\r\n", mail.Reply{Code: 250, Enhanced: "2.0.0"}},
		{"554 a\x00b\x1b[31m\xff\r\n", mail.Reply{Code: 554, Text: "a?b?[31m?"}},
		{"354 go on\r\n", mail.Reply{Code: 354, Text: "go on"}},
	} {
		got, _, err := readReply(bufio.NewReaderSize(strings.NewReader(c.in), maxReplyLine))
		if err != nil || got != c.want {
			t.Errorf("%q: %+v, %v, want %+v", c.in, got, err, c.want)
		}
	}
}

func TestReadReplyRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"no code":         "hello\r\n",
		"code too small":  "150 x\r\n",
		"code too large":  "650 x\r\n",
		"no separator":    "250x\r\n",
		"two codes":       "250-a\r\n550 b\r\n",
		"endless line":    "250 " + strings.Repeat("x", 5000) + "\r\n",
		"endless reply":   strings.Repeat("250-x\r\n", 1000),
		"web server":      "HTTP/1.1 400 Bad Request\r\n",
		"empty line":      "\r\n",
		"code in letters": "2O0 ok\r\n",
	} {
		_, _, err := readReply(bufio.NewReaderSize(strings.NewReader(in), maxReplyLine))
		if !errors.Is(err, transport.ErrProtocol) {
			t.Errorf("%s: %v, want ErrProtocol", name, err)
		}
	}
}

func FuzzReadReply(f *testing.F) {
	for _, s := range []string{"250 2.1.5 Ok\r\n", "550-5.1.1 no\r\n550 5.1.1 such user\r\n", "250\n", "250-\r\n", "4", "554 \xff\x00\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		reply, lines, err := readReply(bufio.NewReaderSize(strings.NewReader(s), maxReplyLine))
		if err != nil {
			return
		}
		if reply.Code < 200 || reply.Code > 599 || len(lines) == 0 || len(lines) > maxReplyLines {
			t.Fatalf("%q: %+v of %d lines", s, reply, len(lines))
		}
		if strings.ContainsAny(strings.ReplaceAll(reply.Text, "\n", ""), "\r\x00\x1b") || len(reply.Text) > maxReplyText {
			t.Fatalf("%q: text %q", s, reply.Text)
		}
	})
}
