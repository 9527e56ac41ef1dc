package wire

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// command is a command line, taken apart.
type command struct {
	verb string // in upper case
	arg  string // without surrounding spaces
}

// What a command line is refused for before its verb is looked at.
var (
	errControl = errors.New("a command has control characters")
	errNotUTF8 = errors.New("a command is not UTF-8")
)

// parseCommand takes a line without its CR LF.
func parseCommand(line []byte) (command, error) {
	s := string(line)
	if !utf8.ValidString(s) {
		return command{}, errNotUTF8
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return command{}, errControl
	}
	verb, arg, _ := strings.Cut(s, " ")
	return command{verb: strings.ToUpper(verb), arg: strings.Trim(arg, " ")}, nil
}

// known is the verb if it is one of SMTP's, else "?": what clients invent must
// not become names of metrics.
func known(verb string) string {
	switch verb {
	case "EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "STARTTLS", "VRFY", "EXPN", "HELP", "AUTH", "ETRN":
		return verb
	}
	return "?"
}

// foreign reports verbs of other protocols: a browser that was led to an SMTP
// port must not go on to its body.
func foreign(verb string) bool {
	switch verb {
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE", "PRI":
		return true
	}
	return false
}

// helloName checks the argument of EHLO and HELO: a domain or an address
// literal. Names that DNS would refuse are common and are taken; what would
// upset a Received field is not.
func helloName(arg string) (string, bool) {
	if arg == "" || len(arg) > 255 || strings.ContainsAny(arg, " ()<>@,;\\\"") {
		return "", false
	}
	return arg, true
}

// cutPath splits what follows "FROM:" or "TO:" into the mailbox between < and
// >, without its source route, and the parameters. Spaces before < are taken,
// and so is a mailbox without < and >.
func cutPath(arg, keyword string) (mailbox, rest string, ok bool) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", "", false
	}
	s := strings.TrimLeft(arg[len(keyword):], " ")
	if !strings.HasPrefix(s, "<") {
		mailbox, rest, _ = strings.Cut(s, " ")
		return mailbox, rest, mailbox != "" && !strings.ContainsAny(mailbox, "<>")
	}
	end := pathEnd(s)
	if end < 0 {
		return "", "", false
	}
	mailbox, rest = s[1:end], s[end+1:]
	if rest != "" && rest[0] != ' ' {
		return "", "", false
	}
	return mailbox, rest, true
}

// pathEnd finds the > that is not within a quoted local-part.
func pathEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i
		}
	}
	return -1
}
