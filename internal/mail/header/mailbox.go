package header

import "strings"

// Mailbox is where a mailbox stands in a field's value (RFC 5322, section
// 3.4), in octets: Start to End is all of it with its display name, comments
// and angle brackets, AddrStart to AddrEnd the address alone, which has
// comments and folding in it where people put them there.
type Mailbox struct {
	Start, End         int
	AddrStart, AddrEnd int
}

// Address is the mailbox's address in a value, without comments and folding.
func (m Mailbox) Address(value string) string { return bare(value[m.AddrStart:m.AddrEnd]) }

// Mailboxes finds the mailboxes in the value of a field such as From or To:
// those of groups too, in their order. It takes what it does not understand for
// text.
func Mailboxes(value string) []Mailbox {
	s := scanner{value: value}
	s.begin(0)
	for s.at < len(value) {
		s.step()
	}
	s.end(len(value))
	return s.found
}

// scanner goes through a list of addresses.
type scanner struct {
	value string
	at    int
	found []Mailbox
	// start is where the present mailbox begins; angle and close are where its
	// < and > stand, -1 where there are none.
	start, angle, close int
}

func (s *scanner) begin(at int) { s.start, s.angle, s.close = at, -1, -1 }

// step takes one token: a quoted string, a comment, a literal, or a character.
func (s *scanner) step() {
	switch c := s.value[s.at]; c {
	case '"':
		s.at = skipQuoted(s.value, s.at, '"')
		return
	case '[':
		s.at = skipQuoted(s.value, s.at, ']')
		return
	case '(':
		s.at = skipComment(s.value, s.at)
		return
	case '<':
		if s.angle < 0 {
			s.angle = s.at
		}
	case '>':
		if s.angle >= 0 && s.close < 0 {
			s.close = s.at
		}
	case ':':
		// The name of a group ends (section 3.4); within <> it is a route's.
		if s.angle < 0 {
			s.begin(s.at + 1)
		}
	case ',', ';':
		if s.angle < 0 || s.close >= 0 {
			s.end(s.at)
			s.begin(s.at + 1)
		}
	}
	s.at++
}

// end notes the mailbox that ends at a place, if there is one.
func (s *scanner) end(at int) {
	m := Mailbox{Start: s.start, End: at}
	if s.angle >= 0 && s.close >= 0 {
		m.AddrStart, m.AddrEnd = s.angle+1, s.close
	} else {
		m.AddrStart, m.AddrEnd = s.start, at
	}
	m.Start, m.End = trim(s.value, m.Start, m.End)
	m.AddrStart, m.AddrEnd = trim(s.value, m.AddrStart, m.AddrEnd)
	if strings.IndexByte(s.value[m.AddrStart:m.AddrEnd], '@') >= 0 {
		s.found = append(s.found, m)
	}
}

// trim narrows a span by the white space and comments around it.
func trim(s string, start, end int) (int, int) {
	for start < end {
		switch {
		case strings.IndexByte(" \t\r\n", s[start]) >= 0:
			start++
		case s[start] == '(':
			next := skipComment(s, start)
			if next > end {
				return start, end
			}
			start = next
		case strings.IndexByte(" \t\r\n", s[end-1]) >= 0:
			end--
		case s[end-1] == ')':
			open := lastComment(s, start, end)
			if open <= start {
				return start, end
			}
			end = open
		default:
			return start, end
		}
	}
	return start, start
}

// lastComment is where the comment begins that ends at end; -1 if none does.
func lastComment(s string, start, end int) int {
	for i := start; i < end; {
		switch s[i] {
		case '"':
			i = skipQuoted(s, i, '"')
		case '(':
			next := skipComment(s, i)
			if next == end {
				return i
			}
			i = next
		default:
			i++
		}
	}
	return -1
}

// skipQuoted is behind the quoted string or literal that begins at i.
func skipQuoted(s string, i int, end byte) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case end:
			return i + 1
		}
	}
	return len(s)
}

// skipComment is behind the comment that begins at i; comments nest (section
// 3.2.2).
func skipComment(s string, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}

// bare is an address without comments and white space around its parts.
func bare(s string) string {
	if !strings.ContainsAny(s, "( \t\r\n") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		next := i + 1
		switch s[i] {
		case '"':
			next = skipQuoted(s, i, '"')
			b.WriteString(strings.NewReplacer("\r\n", "").Replace(s[i:next]))
		case '(':
			next = skipComment(s, i)
		case ' ', '\t', '\r', '\n':
		default:
			b.WriteByte(s[i])
		}
		i = next
	}
	return b.String()
}
