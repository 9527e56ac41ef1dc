package smtpc

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"quorumta/delivery/transport"
	"quorumta/internal/mail"
)

// What a server may say at once. RFC 5321, section 4.5.3.1.5, gives a line 512
// octets; real servers say more.
const (
	maxReplyLine  = 4096
	maxReplyLines = 256
	maxReplyText  = 2048 // what is kept of it
)

// readReply reads one reply of one or more lines (RFC 5321, section 4.2.1).
// The text of the lines comes back beside the reply, each without its code.
// An error wraps transport.ErrProtocol or is the reader's.
func readReply(r *bufio.Reader) (mail.Reply, []string, error) {
	var code int
	var lines []string
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return mail.Reply{}, nil, fmt.Errorf("%w: a reply line is longer than %d bytes", transport.ErrProtocol, maxReplyLine)
		case err != nil:
			return mail.Reply{}, nil, err
		}
		c, last, text, ok := splitLine(line)
		if !ok {
			return mail.Reply{}, nil, fmt.Errorf("%w: it said %q", transport.ErrProtocol, clip(clean(string(line)), 80))
		}
		if code != 0 && c != code {
			return mail.Reply{}, nil, fmt.Errorf("%w: a reply changes from %d to %d", transport.ErrProtocol, code, c)
		}
		code = c
		lines = append(lines, clean(text))
		if last {
			return makeReply(code, lines), lines, nil
		}
		if len(lines) == maxReplyLines {
			return mail.Reply{}, nil, fmt.Errorf("%w: a reply has more than %d lines", transport.ErrProtocol, maxReplyLines)
		}
	}
}

// splitLine takes a line apart: code, whether it is the reply's last, text. A
// code alone, without a space, ends a reply as well.
func splitLine(line []byte) (code int, last bool, text string, ok bool) {
	s := strings.TrimRight(string(line), "\r\n")
	if len(s) < 3 || s[0] < '2' || s[0] > '5' || !digit(s[1]) || !digit(s[2]) {
		return 0, false, "", false
	}
	code = int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	if len(s) == 3 {
		return code, true, "", true
	}
	if s[3] != ' ' && s[3] != '-' {
		return 0, false, "", false
	}
	return code, s[3] == ' ', s[4:], true
}

// makeReply finds the enhanced status code (RFC 2034, section 4: every line
// repeats it) and joins the lines.
func makeReply(code int, lines []string) mail.Reply {
	enhanced, text := cutEnhanced(code, lines[0])
	reply := mail.Reply{Code: code, Enhanced: enhanced, Text: clip(text, maxReplyText)}
	if len(lines) == 1 {
		return reply
	}
	texts := make([]string, len(lines))
	for i, line := range lines {
		texts[i] = line
		if e, rest := cutEnhanced(code, line); e != "" && e == enhanced {
			texts[i] = rest
		}
	}
	reply.Text = clip(strings.Join(texts, "\n"), maxReplyText)
	return reply
}

// cutEnhanced splits "4.3.1 text"; the class must be the reply's own (RFC
// 2034, section 4).
func cutEnhanced(code int, line string) (enhanced, rest string) {
	word, rest, _ := strings.Cut(line, " ")
	class, both, _ := strings.Cut(word, ".")
	subject, detail, _ := strings.Cut(both, ".")
	if len(class) != 1 || int(class[0]-'0') != code/100 || !isNumber(subject) || !isNumber(detail) {
		return "", line
	}
	return word, rest
}

// isNumber reports whether s has one to three digits.
func isNumber(s string) bool {
	return len(s) >= 1 && len(s) <= 3 && strings.TrimLeft(s, "0123456789") == ""
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// clean replaces what must not reach a log or a report: control characters
// and what is no UTF-8.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

// clip cuts s to at most n bytes, between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
