package rewrite

import (
	netmail "net/mail"
	"slices"
	"strings"

	"quorumta/internal/mail"
	"quorumta/internal/mail/header"
	"quorumta/internal/policy"
)

// placeOf is the place that a field of the header is; 0 for others. Those of who
// has sent a message on (RFC 5322, section 3.6.6) are as those of its author.
func placeOf(f header.Field) Place {
	switch strings.TrimPrefix(strings.ToLower(f.Name()), "resent-") {
	case "from":
		return From
	case "sender":
		return Sender
	case "reply-to":
		return ReplyTo
	case "to":
		return To
	case "cc":
		return Cc
	case "bcc":
		return Bcc
	}
	return 0
}

// Header rewrites the addresses in a header and returns it with the names of the
// rules that changed it. Where none did it is the header that was given. Groups,
// comments and display names stay, and so do all octets of what is not
// rewritten. The error is an *Error.
func (rules Rules) Header(f *policy.Facts, h header.Header, utf8 bool) (header.Header, []string, error) {
	var names []string
	out := h
	for i, field := range h {
		in := placeOf(field)
		if in == 0 || !rules.In(in) {
			continue
		}
		e := editor{rules: rules, facts: f, in: in, utf8: utf8}
		changed, err := e.field(field)
		if err != nil {
			return h, nil, err
		}
		if len(e.by) == 0 {
			continue
		}
		if len(names) == 0 {
			out = slices.Clone(h)
		}
		out[i] = changed
		for _, name := range e.by {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return out, names, nil
}

// editor rewrites one field.
type editor struct {
	rules Rules
	facts *policy.Facts
	in    Place
	utf8  bool
	// by are the rules that changed something.
	by []string
	// out is the field as far as it is made, copied how much of the old one is in
	// it.
	out    strings.Builder
	copied int
}

// field is the field with its addresses rewritten.
func (e *editor) field(f header.Field) (header.Field, error) {
	value := f.Value()
	before := strings.IndexByte(string(f), ':') + 1
	for _, m := range header.Mailboxes(value) {
		a, err := mail.ParseAddress(m.Address(value))
		if err != nil || a.Domain == "" {
			continue
		}
		steps, err := e.rules.Rewrite(e.facts, a, e.in, e.utf8)
		if err != nil {
			return f, err
		}
		changed, phrase := false, (*string)(nil)
		for now := a; len(steps) > 0; steps = steps[1:] {
			s := steps[0]
			if s.Phrase != nil {
				phrase = s.Phrase
			}
			if s.Phrase != nil || s.Address != now {
				e.by, changed = append(e.by, s.Rule), true
			}
			now, a = s.Address, s.Address
		}
		if changed {
			e.replace(string(f), before, m, a, phrase)
		}
	}
	e.out.WriteString(string(f)[e.copied:])
	return header.Field(e.out.String()), nil
}

// maxLine is the longest line of a message, without its CRLF (RFC 5322, section
// 2.1.1).
const maxLine = 998

// replace puts an address in the place of a mailbox's, and with a phrase in that
// of the whole mailbox. A line that becomes too long by it is folded before it.
func (e *editor) replace(f string, before int, m header.Mailbox, a mail.Address, phrase *string) {
	start, end, text := before+m.AddrStart, before+m.AddrEnd, a.String()
	if phrase != nil {
		start, end = before+m.Start, before+m.End
		if *phrase != "" {
			named := (&netmail.Address{Name: *phrase, Address: "x@x"}).String() // RFC 2047 where it is not ASCII
			text = strings.TrimSuffix(named, "<x@x>") + "<" + text + ">"
		}
	}
	e.out.WriteString(f[e.copied : before+m.Start])
	line := e.out.String() // as far as it is made
	line = line[strings.LastIndexByte(line, '\n')+1:]
	rest, _, _ := strings.Cut(f[end:before+m.End], "\r\n")
	if len(text) > end-start && len(line)+start-(before+m.Start)+len(text)+len(rest) > maxLine-1 && strings.Trim(line, " \t") != "" {
		e.out.WriteString("\r\n\t")
	}
	e.out.WriteString(f[before+m.Start : start])
	e.out.WriteString(text)
	e.copied = end
}
