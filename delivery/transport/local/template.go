package local

import (
	"errors"
	"strings"

	"quorumta/internal/policy"
)

// Template is a text with ${expression} in it, of which each is a text of the
// recipient. Everything else stands for itself.
type Template struct{ parts []part }

// part is a literal, or an expression.
type part struct {
	literal string
	text    *policy.Text
}

// Parse reads a template; compile makes an expression.
func Parse(s string, compile func(expr string) (*policy.Text, error)) (Template, error) {
	var t Template
	for {
		before, rest, found := strings.Cut(s, "${")
		if before != "" {
			t.parts = append(t.parts, part{literal: before})
		}
		if !found {
			return t, nil
		}
		end := closing(rest)
		if end < 0 {
			return t, errors.New("a } is missing behind ${")
		}
		text, err := compile(rest[:end])
		if err != nil {
			return t, err
		}
		t.parts = append(t.parts, part{text: text})
		s = rest[end+1:]
	}
}

// closing finds the brace that ends an expression: not one within quotes.
func closing(s string) int {
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '}':
			return i
		}
	}
	return -1
}

// Eval is the text for a recipient; what the expressions give goes through escape,
// which may be nil.
func (t Template) Eval(f *policy.Facts, escape func(string) string) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		if p.text == nil {
			b.WriteString(p.literal)
			continue
		}
		value, err := p.text.Eval(f)
		if err != nil {
			return "", err
		}
		if escape != nil {
			value = escape(value)
		}
		b.WriteString(value)
	}
	return b.String(), nil
}
