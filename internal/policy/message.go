package policy

import (
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"quorumta/internal/mail"
)

// MessageFacts is what expressions see that choose queued messages: sender
// (also sender.local, sender.domain), recipients and domains (lists of those
// still open), size, age, state, tries and subject.
type MessageFacts struct {
	Sender mail.Address
	// Recipients are the open ones.
	Recipients []mail.Address
	// Size is the content's, in bytes.
	Size int64
	// Age is since acceptance; written as age > duration("4h").
	Age time.Duration
	// State is "due", "deferred", "held" or "in_flight".
	State string
	// Tries is the most that any open recipient has had.
	Tries   uint32
	Subject string
}

// MessageCondition is a compiled expression over MessageFacts, safe for
// concurrent use.
type MessageCondition struct{ condition *Condition }

// MessageCondition compiles an expression that chooses messages; the empty one
// chooses all. The error is as that of Condition.
func (e *Env) MessageCondition(expr string) (*MessageCondition, error) {
	c, err := e.messages.condition(expr, nil)
	if err != nil {
		return nil, err
	}
	return &MessageCondition{c}, nil
}

// Eval evaluates the condition; an error is never to be taken for false.
func (c *MessageCondition) Eval(f *MessageFacts) (bool, error) {
	return c.condition.eval((*messageActivation)(f))
}

// messageVariables are the names of MessageFacts; messageActivation knows each.
var messageVariables = []variable{
	{"sender", cel.StringType},
	{"sender.local", cel.StringType},
	{"sender.domain", cel.StringType},
	{"sender.address", cel.StringType},
	{"recipients", cel.ListType(cel.StringType)},
	{"domains", cel.ListType(cel.StringType)},
	{"size", cel.IntType},
	{"age", cel.DurationType},
	{"state", cel.StringType},
	{"tries", cel.IntType},
	{"subject", cel.StringType},
}

type messageActivation MessageFacts

// ResolveName implements interpreter.Activation.
func (f *messageActivation) ResolveName(name string) (any, bool) {
	switch name {
	case "sender":
		return types.String(f.Sender.String()), true
	case "sender.local", "sender.domain", "sender.address":
		return addressPart(f.Sender, name[len("sender."):]), true
	case "recipients":
		return f.list(mail.Address.String), true
	case "domains":
		return f.list(func(a mail.Address) string { return a.Domain }), true
	case "size":
		return types.Int(f.Size), true
	case "age":
		return types.Duration{Duration: f.Age}, true
	case "state":
		return types.String(f.State), true
	case "tries":
		return types.Int(f.Tries), true
	case "subject":
		return types.String(f.Subject), true
	}
	return nil, false
}

// Parent implements interpreter.Activation.
func (f *messageActivation) Parent() interpreter.Activation { return nil }

// list has each text once.
func (f *messageActivation) list(text func(mail.Address) string) any {
	seen := make(map[string]bool, len(f.Recipients))
	var out []string
	for _, a := range f.Recipients {
		if s := text(a); !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return types.NewStringList(types.DefaultTypeAdapter, out)
}
