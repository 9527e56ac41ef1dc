package aliases

import (
	"fmt"
	"strings"

	"quorumta/internal/mail"
)

// Entry is an entry of a file.
type Entry struct {
	// Line is where it begins, from 1.
	Line int
	// Items is the list, as it is written.
	Items string
}

// Table is what a file says, by key in lower case.
type Table map[string]Entry

// Fault is a line that cannot be read.
type Fault struct {
	Line int
	What string
}

// String is "line: what".
func (f Fault) String() string { return fmt.Sprintf("%d: %s", f.Line, f.What) }

// ParseTable reads a file. What is wrong in it is left out, and told.
func ParseTable(text string) (Table, []Fault) {
	t := Table{}
	var faults []Fault
	number, begun := 0, 0
	var entry strings.Builder
	end := func() {
		if begun > 0 {
			faults = append(faults, t.add(begun, entry.String())...)
		}
		begun = 0
		entry.Reset()
	}
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimLeft(line, " \t")
		switch {
		case trimmed == "" || trimmed[0] == '#':
		case trimmed == line:
			end()
			begun = number
			entry.WriteString(line)
		case begun == 0:
			faults = append(faults, Fault{number, "a line that begins with white space continues an entry: there is none"})
		default:
			entry.WriteString(" " + trimmed)
		}
	}
	end()
	return t, faults
}

// add takes an entry.
func (t Table) add(line int, text string) []Fault {
	key, items, err := cutKey(text)
	if err != nil {
		return []Fault{{line, err.Error()}}
	}
	if key = Fold(key); key == "" || strings.TrimSpace(items) == "" {
		return []Fault{{line, "key: items is expected"}}
	}
	if known, ok := t[key]; ok {
		return []Fault{{line, fmt.Sprintf("%s has an entry in line %d, which counts", key, known.Line)}}
	}
	t[key] = Entry{Line: line, Items: items}
	if _, err := Parse(items); err != nil {
		return []Fault{{line, err.Error()}} // who is looked up under it waits
	}
	return nil
}

// cutKey tells key and items apart: by a colon, or by white space.
func cutKey(text string) (key, items string, err error) {
	rest := text
	if strings.HasPrefix(text, `"`) {
		inside, after, ok := cutQuoted(text)
		if !ok {
			return "", "", fmt.Errorf("%q: a closing quote is missing", shorten(text))
		}
		key, rest = inside, after
	}
	end := strings.IndexAny(rest, ": \t")
	if end < 0 {
		return "", "", fmt.Errorf("%q: key: items is expected", shorten(text))
	}
	key += rest[:end]
	rest = strings.TrimLeft(rest[end:], " \t")
	if after, colon := strings.CutPrefix(rest, ":"); colon && !beginsSpecial(rest) {
		rest = after
	}
	return key, rest, nil
}

// beginsSpecial reports whether the colon is that of ":fail:" after white space.
func beginsSpecial(s string) bool {
	_, _, ok := special(s)
	return ok
}

// Fold is a key as keys are compared: in lower case, its domain in ASCII.
func Fold(key string) string {
	at := strings.LastIndexByte(key, '@')
	if at < 0 {
		return strings.ToLower(key)
	}
	if name, err := (mail.Address{Local: "x", Domain: key[at+1:]}).HostName(); err == nil {
		return strings.ToLower(key[:at+1] + name)
	}
	return strings.ToLower(key)
}
