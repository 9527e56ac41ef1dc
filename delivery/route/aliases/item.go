package aliases

import (
	"fmt"
	"strings"

	"quorumta/internal/mail"
)

// Kind is what an item is.
type Kind uint8

// The kinds of items.
const (
	// Address is a mail address; without Domain it is to be qualified, without
	// Local it is the same local-part in another domain.
	Address Kind = iota + 1
	// Command and File have the command line, and the path.
	Command
	File
	// Include has the path of a file with items.
	Include
	// Fail and Defer have a text for the sender, Unknown is as if there were no
	// entry. Each ends the list: what else it has does not count.
	Fail
	Defer
	Unknown
	// Blackhole throws away, unless there are others beside it.
	Blackhole
)

// Item is one of those that an address stands for.
type Item struct {
	Kind Kind
	// Text is what an item other than an address has.
	Text    string
	Address mail.Address
}

// specials are the items with a word of their own.
var specials = []struct {
	word string
	kind Kind
}{
	{":include:", Include}, {":fail:", Fail}, {":defer:", Defer}, {":unknown:", Unknown}, {":blackhole:", Blackhole},
}

// Parse reads a list of items. The error says which of them is wrong, and how.
func Parse(list string) ([]Item, error) {
	var items []Item
	for rest := skip(list); rest != ""; rest = skip(rest) {
		if kind, text, ok := special(rest); ok && kind != Include && kind != Blackhole {
			text, _, _ = strings.Cut(text, "\n")
			return []Item{{Kind: kind, Text: strings.TrimSpace(text)}}, nil
		}
		end, err := itemEnd(rest)
		if err != nil {
			return nil, err
		}
		item, err := parseItem(strings.TrimRight(rest[:end], " \t\r\n"))
		if err != nil {
			return nil, err
		}
		if item.ends() {
			return []Item{item}, nil
		}
		items = append(items, item)
		rest = rest[end:]
	}
	return items, nil
}

// ends reports whether nothing else in a list counts.
func (i Item) ends() bool { return i.Kind == Fail || i.Kind == Defer || i.Kind == Unknown }

// skip leaves out separators, and comments from the beginning of a line on.
func skip(s string) string {
	for {
		s = strings.TrimLeft(s, ", \t\r\n")
		if !strings.HasPrefix(s, "#") {
			return s
		}
		_, s, _ = strings.Cut(s, "\n")
	}
}

// special reads an item that begins with a word between colons.
func special(s string) (kind Kind, rest string, ok bool) {
	for _, x := range specials {
		if len(s) >= len(x.word) && strings.EqualFold(s[:len(x.word)], x.word) {
			return x.kind, s[len(x.word):], true
		}
	}
	return 0, "", false
}

// itemEnd finds the separator after an item: one that stands neither in quotes
// nor, in an address, in a comment or in brackets.
func itemEnd(s string) (int, error) {
	plain := s[0] == '|' || s[0] == '/' || s[0] == ':'
	quoted, depth, open := false, 0, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && (quoted || !plain):
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case !plain && open != '<' && (c == '(' || c == ')' && depth > 0):
			depth += map[byte]int{'(': 1, ')': -1}[c]
		case depth > 0:
		case !plain && (c == '<' || c == '['):
			open = c
		case open == '<' && c == '>', open == '[' && c == ']':
			open = 0
		case c == '\n' || c == ',' && open == 0:
			return i, nil
		}
	}
	switch {
	case quoted:
		return 0, fmt.Errorf("%q: a closing quote is missing", shorten(s))
	case depth > 0:
		return 0, fmt.Errorf("%q: a closing parenthesis is missing", shorten(s))
	}
	return len(s), nil
}

// parseItem reads an item without the white space around it.
func parseItem(s string) (Item, error) {
	if inside, ok := unquote(s); ok && inside != "" && strings.IndexByte("|/:", inside[0]) >= 0 {
		return parsePlain(inside)
	}
	switch s[0] {
	case '|', ':':
		return parsePlain(s)
	case '/':
		// A slash begins addresses too: those of X.400 have a domain.
		if a, err := parseAddress(s); err == nil && a.Domain != "" {
			return Item{Kind: Address, Address: a}, nil
		}
		return parsePlain(s)
	}
	a, err := parseAddress(strings.TrimPrefix(s, `\`))
	if err != nil {
		return Item{}, fmt.Errorf("%q: %w", shorten(s), err)
	}
	return Item{Kind: Address, Address: a}, nil
}

// parsePlain reads an item that is no address.
func parsePlain(s string) (Item, error) {
	switch s[0] {
	case '|':
		text := strings.TrimSpace(s[1:])
		if text == "" {
			return Item{}, fmt.Errorf("%q: a command is missing", s)
		}
		return Item{Kind: Command, Text: text}, nil
	case '/':
		return Item{Kind: File, Text: s}, nil
	}
	kind, text, ok := special(s)
	text = strings.TrimSpace(text)
	switch {
	case !ok:
		return Item{}, fmt.Errorf("%q: only :include:, :fail:, :defer:, :unknown: and :blackhole: are known", shorten(s))
	case kind == Include:
		if inside, quoted := unquote(text); quoted {
			text = inside
		}
		if !strings.HasPrefix(text, "/") {
			return Item{}, fmt.Errorf("%q: a path that begins with / is expected", shorten(s))
		}
	case kind == Blackhole && text != "":
		return Item{}, fmt.Errorf("%q: nothing but a comma may follow :blackhole", shorten(s))
	}
	return Item{Kind: kind, Text: text}, nil
}

// unquote is the inside of a text that is one quoted string.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' {
		return "", false
	}
	inside, rest, ok := cutQuoted(s)
	return inside, ok && rest == ""
}

// cutQuoted reads the quoted string that s begins with.
func cutQuoted(s string) (inside, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}

func shorten(s string) string {
	const most = 60
	if line, _, more := strings.Cut(s, "\n"); more || len(line) > most {
		return line[:min(len(line), most)] + "…"
	}
	return s
}
