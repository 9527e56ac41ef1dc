package policy

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"quorumta/internal/mail"
)

// AddressFacts is what expressions see that rewrite addresses: address.local,
// address.domain and address.address, and of the Facts what is the same for all
// recipients of a message: client, sender, message.size and message.report.
type AddressFacts struct {
	*Facts
	Address mail.Address
}

// AddressCondition is a compiled condition over AddressFacts, safe for
// concurrent use.
type AddressCondition struct{ condition *Condition }

// AddressCondition compiles a condition about an address; the empty one is
// always true. The error is as that of Condition.
func (e *Env) AddressCondition(expr string) (*AddressCondition, error) {
	c, err := e.addresses.condition(expr, nil)
	if err != nil {
		return nil, err
	}
	return &AddressCondition{c}, nil
}

// Eval evaluates the condition; an error is never to be taken for false.
func (c *AddressCondition) Eval(f *AddressFacts) (bool, error) {
	return c.condition.eval((*addressActivation)(f))
}

// AddressText is a compiled expression of type string over AddressFacts, safe
// for concurrent use.
type AddressText struct {
	source  string
	program cel.Program
}

// AddressText compiles an expression whose result is a string. The error is as
// that of Text.
func (e *Env) AddressText(expr string) (*AddressText, error) {
	program, err := e.addresses.compile(expr, nil, cel.StringType)
	if err != nil {
		return nil, textAdvice(expr, err)
	}
	return &AddressText{source: expr, program: program}, nil
}

// Eval evaluates the expression; an error is a run-time failure, as that of
// Text.
func (t *AddressText) Eval(f *AddressFacts) (string, error) {
	value, _, err := t.program.Eval((*addressActivation)(f))
	if err != nil {
		return "", fmt.Errorf("evaluate %q: %w", t.source, err)
	}
	text, ok := value.(types.String)
	if !ok {
		return "", fmt.Errorf("evaluate %q: the result is a %v, not a string", t.source, value.Type())
	}
	return string(text), nil
}

// addressVariables are the names of AddressFacts.
func addressVariables() []variable {
	list := []variable{
		{"address.local", cel.StringType},
		{"address.domain", cel.StringType},
		{"address.address", cel.StringType},
	}
	for _, v := range factVariables {
		group, _, _ := strings.Cut(v.name, ".")
		if slices.Contains([]string{"client", "sender", "message"}, group) && v.name != "message.recipients" {
			list = append(list, v)
		}
	}
	return list
}

type addressActivation AddressFacts

// ResolveName implements interpreter.Activation.
func (f *addressActivation) ResolveName(name string) (any, bool) {
	if part, ok := strings.CutPrefix(name, "address."); ok {
		return addressPart(f.Address, part), true
	}
	return (*activation)(f.Facts).ResolveName(name)
}

// Parent implements interpreter.Activation.
func (f *addressActivation) Parent() interpreter.Activation { return nil }
