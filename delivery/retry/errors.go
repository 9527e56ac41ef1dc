package retry

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"quorumta/queue/event"
)

// Pattern is an error as a rule names it, by one of Exim's names (auth_failed,
// rcpt_452, timeout_connect_MX, …) or by one of our kinds. The zero Pattern is
// every error.
type Pattern struct {
	name  string
	kinds []event.ErrorKind
	// digits are those of the reply code, with x for any; "" where the code does
	// not matter.
	digits string
	way    way
	// unread is the least time since the mailbox was read, for quota_<time>.
	unread time.Duration
}

// way is how the host was found.
type way uint8

const (
	anyWay way = iota
	byAddress
	byMX
)

// String is the pattern as ParsePattern reads it.
func (p Pattern) String() string {
	if p.name == "" {
		return "*"
	}
	return p.name
}

// named are the names that stand for kinds of errors, Exim's and ours.
var named = map[string][]event.ErrorKind{
	"auth_failed":     {event.ErrorAuth},
	"lost_connection": {event.ErrorLost},
	"refused":         {event.ErrorRefused},
	"timeout_connect": {event.ErrorConnectTimeout},
	"timeout":         {event.ErrorConnectTimeout, event.ErrorTimeout},
	"tls_required":    {event.ErrorTLSRequired, event.ErrorTLS},

	"routing":   {event.ErrorRouting},
	"connect":   {event.ErrorConnect, event.ErrorRefused, event.ErrorConnectTimeout},
	"tls":       {event.ErrorTLS, event.ErrorTLSRequired},
	"lost":      {event.ErrorLost},
	"greeting":  {event.ErrorGreeting},
	"sender":    {event.ErrorSender},
	"recipient": {event.ErrorRecipient},
	"content":   {event.ErrorContent},
	"internal":  {event.ErrorInternal},
}

// commands are the names that end in digits of a reply to a command.
var commands = map[string]event.ErrorKind{
	"mail": event.ErrorSender, "rcpt": event.ErrorRecipient, "data": event.ErrorContent,
}

var (
	replied = regexp.MustCompile(`^(mail|rcpt|data)_(4[0-9x][0-9x])$`)
	found   = regexp.MustCompile(`^(refused|timeout_connect|timeout)_(A|MX)$`)
)

// ParsePattern reads the name of an error.
func ParsePattern(s string) (Pattern, error) {
	if s == "*" {
		return Pattern{}, nil
	}
	if kinds, ok := named[s]; ok {
		return Pattern{name: s, kinds: kinds}, nil
	}
	if m := replied.FindStringSubmatch(s); m != nil {
		return Pattern{name: s, kinds: []event.ErrorKind{commands[m[1]]}, digits: m[2]}, nil
	}
	if m := found.FindStringSubmatch(s); m != nil {
		p := Pattern{name: s, kinds: named[m[1]], way: byAddress}
		if m[2] == "MX" {
			p.way = byMX
		}
		return p, nil
	}
	switch rest, quota := strings.CutPrefix(s, "quota"); {
	case s == "lookup":
		return Pattern{name: s, kinds: []event.ErrorKind{event.ErrorRouting}}, nil
	case s == "quota":
		return Pattern{name: s, kinds: []event.ErrorKind{event.ErrorQuota}}, nil
	case quota && strings.HasPrefix(rest, "_"):
		unread, err := parseDuration(rest[1:])
		if err != nil {
			return Pattern{}, fmt.Errorf("retry error %q: %w", s, err)
		}
		return Pattern{name: s, kinds: []event.ErrorKind{event.ErrorQuota}, unread: unread}, nil
	}
	return Pattern{}, fmt.Errorf("retry error %q is not known: %s are", s, strings.Join(PatternNames(), ", "))
}

// PatternNames are the names that patterns may have.
func PatternNames() []string {
	names := append(slices.Collect(maps.Keys(named)), "mail_4xx", "rcpt_4xx", "data_4xx", "lookup", "quota", "quota_<time>",
		"refused_A", "refused_MX", "timeout_A", "timeout_MX", "timeout_connect_A", "timeout_connect_MX", "*")
	slices.Sort(names)
	return names
}

// matches reports whether the error is one that the pattern names.
func (p Pattern) matches(e *Error) bool {
	if p.name == "" {
		return true
	}
	switch {
	case p.name == "lookup":
		// What name servers do not answer is 4.4.3 (RFC 3463, section 3.5).
		return e.Kind == event.ErrorRouting && e.Reply.Enhanced == "4.4.3"
	case p.kinds[0] == event.ErrorQuota:
		return e.full() && e.Unread >= p.unread
	case !slices.Contains(p.kinds, e.Kind):
		return false
	}
	return (p.way == anyWay || e.MX == (p.way == byMX)) && (p.digits == "" || sameDigits(p.digits, e.code()))
}

// full: there is no room in the mailbox, as a transport of ours or a server says
// (RFC 3463, section 3.3: X.2.2).
func (e *Error) full() bool {
	_, detail, _ := strings.Cut(e.Reply.Enhanced, ".")
	return e.Kind == event.ErrorQuota || detail == "2.2"
}

// code is the reply's; what is for now in spite of its 5yz counts as 4yz, as
// 552 does for 452 (RFC 5321, section 4.5.3.1.10).
func (e *Error) code() string {
	code := e.Reply.Code
	if code/100 == 5 {
		code -= 100
	}
	return fmt.Sprintf("%03d", code)
}

func sameDigits(pattern, code string) bool {
	for i := range pattern {
		if pattern[i] != 'x' && pattern[i] != code[i] {
			return false
		}
	}
	return len(pattern) == len(code)
}

// Example is an error that the pattern named so matches, for questions about
// rules; ok is false where there is no such name.
func Example(name string) (e Error, ok bool) {
	p, err := ParsePattern(name)
	if err != nil {
		return e, false
	}
	if len(p.kinds) > 0 {
		e.Kind = p.kinds[0]
	}
	e.MX, e.Unread = p.way == byMX, p.unread
	if p.name == "lookup" {
		e.Reply.Enhanced = "4.4.3"
	}
	for _, c := range strings.ReplaceAll(p.digits, "x", "5") {
		e.Reply.Code = 10*e.Reply.Code + int(c-'0')
	}
	return e, true
}
