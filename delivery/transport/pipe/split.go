package pipe

import (
	"fmt"
	"strings"
)

// split takes the command of an alias apart as Exim does: words between white
// space, of which one in single quotes is as it stands, and in double quotes a
// backslash takes the meaning of what follows. Nothing else means anything: there
// is no shell.
func split(line string) ([]string, error) {
	var words []string
	s := line
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" {
			break
		}
		word, rest, err := word(s)
		if err != nil {
			return nil, err
		}
		words, s = append(words, word), rest
	}
	if len(words) == 0 || !strings.HasPrefix(words[0], "/") {
		return nil, fmt.Errorf("the command of an alias, %q, does not begin with the path of a program", line)
	}
	return words, nil
}

// word takes the first one off.
func word(s string) (first, rest string, err error) {
	switch s[0] {
	case '\'':
		end := strings.IndexByte(s[1:], '\'')
		if end < 0 {
			return "", "", fmt.Errorf("a quote is not closed: %s", s)
		}
		return s[1 : 1+end], s[2+end:], nil
	case '"':
		var b strings.Builder
		for i := 1; i < len(s); i++ {
			switch {
			case s[i] == '"':
				return b.String(), s[i+1:], nil
			case s[i] == '\\' && i+1 < len(s):
				i++
			}
			b.WriteByte(s[i])
		}
		return "", "", fmt.Errorf("a quote is not closed: %s", s)
	}
	end := strings.IndexAny(s, " \t")
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:], nil
}
