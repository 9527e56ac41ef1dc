package policy

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// Text is a compiled expression of type string, safe for concurrent use. A
// constant is written as an expression too: "archive@corp.example" in quotes.
// Nil is always "".
type Text struct {
	source  string
	program cel.Program
}

// Text compiles an expression whose result is a string; there must be one. The
// error and groups are those of Condition.
func (e *Env) Text(expr string, groups ...string) (*Text, error) {
	if strings.TrimSpace(expr) == "" {
		return nil, Faults{{Line: 1, Column: 1, What: `an expression for a text is expected; the empty text is ""`}}
	}
	program, err := e.conditions.compile(expr, groups, cel.StringType)
	if err != nil {
		return nil, textAdvice(expr, err)
	}
	return &Text{source: expr, program: program}, nil
}

// textAdvice helps who has forgotten the inner quotes, as people do with YAML.
func textAdvice(expr string, err error) error {
	faults, ok := err.(Faults)
	if !ok || strings.ContainsAny(expr, `"'`) {
		return err
	}
	faults[len(faults)-1].What += `; a constant text has quotes of its own: '"` + expr + `"'`
	return faults
}

// String is the expression as it was written.
func (t *Text) String() string {
	if t == nil {
		return ""
	}
	return t.source
}

// Eval evaluates the expression. An error is a run-time failure: what depends
// on the text is put off (451 4.3.5), never done with another one.
func (t *Text) Eval(f *Facts) (string, error) {
	if t == nil {
		return "", nil
	}
	value, _, err := t.program.Eval((*activation)(f))
	if err != nil {
		return "", fmt.Errorf("evaluate %q: %w", t.source, err)
	}
	text, ok := value.(types.String)
	if !ok {
		return "", fmt.Errorf("evaluate %q: the result is a %v, not a string", t.source, value.Type())
	}
	return string(text), nil
}
