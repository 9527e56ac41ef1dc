package policy

import (
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/interpreter"
)

// ReportFacts is what conditions see that decide about delivery reports: client,
// sender, rcpt and message.size as Facts has them; message.age; message.bulk;
// header["list-id"] and other fields of the original message by their names in
// lower case; report ("failure", "delay", "success"), error (a kind's name),
// reply.code, reply.text.
type ReportFacts struct {
	Facts
	Age time.Duration
	// Header has the fields of the message, by names in lower case, each unfolded;
	// of a field that occurs several times, all with ", " between them.
	Header map[string]string
	Report string
	Error  string
	Code   int
	Text   string
}

// Bulk reports whether the message was written to many or by a machine: nobody
// waits for a word about its delay (RFC 3834, section 2; RFC 2369; RFC 2919).
func (f *ReportFacts) Bulk() bool {
	for _, name := range []string{"list-id", "list-post", "list-help", "list-subscribe", "list-unsubscribe"} {
		if f.Header[name] != "" {
			return true
		}
	}
	precedence := strings.ToLower(strings.TrimSpace(f.Header["precedence"]))
	auto := strings.ToLower(strings.TrimSpace(f.Header["auto-submitted"]))
	return precedence == "bulk" || precedence == "list" || precedence == "junk" || auto != "" && auto != "no"
}

// ReportCondition is a compiled expression over ReportFacts, safe for concurrent
// use. Nil is always true.
type ReportCondition struct{ condition *Condition }

// ReportCondition compiles an expression; the empty one is always true. The
// error is as that of Condition.
func (e *Env) ReportCondition(expr string) (*ReportCondition, error) {
	c, err := e.reports.condition(expr, nil)
	if err != nil {
		return nil, err
	}
	return &ReportCondition{c}, nil
}

// Eval evaluates the condition; an error is never to be taken for false.
func (c *ReportCondition) Eval(f *ReportFacts) (bool, error) {
	if c == nil {
		return true, nil
	}
	return c.condition.eval((*reportActivation)(f))
}

// reportVariables are the names of ReportFacts; reportActivation knows each.
var reportVariables = []variable{
	{"client.ip", ext.IPType},
	{"client.name", cel.StringType},
	{"client.helo", cel.StringType},
	{"client.login", cel.StringType},
	{"client.listener", cel.StringType},
	{"sender.local", cel.StringType},
	{"sender.domain", cel.StringType},
	{"sender.address", cel.StringType},
	{"rcpt.local", cel.StringType},
	{"rcpt.domain", cel.StringType},
	{"rcpt.address", cel.StringType},
	{"message.size", cel.IntType},
	{"message.age", cel.DurationType},
	{"message.bulk", cel.BoolType},
	{"header", cel.MapType(cel.StringType, cel.StringType)},
	{"report", cel.StringType},
	{"error", cel.StringType},
	{"reply.code", cel.IntType},
	{"reply.text", cel.StringType},
}

type reportActivation ReportFacts

// ResolveName implements interpreter.Activation.
func (f *reportActivation) ResolveName(name string) (any, bool) {
	switch name {
	case "message.age":
		return types.Duration{Duration: f.Age}, true
	case "message.bulk":
		return types.Bool((*ReportFacts)(f).Bulk()), true
	case "header":
		return types.NewStringStringMap(types.DefaultTypeAdapter, f.Header), true
	case "report":
		return types.String(f.Report), true
	case "error":
		return types.String(f.Error), true
	case "reply.code":
		return types.Int(f.Code), true
	case "reply.text":
		return types.String(f.Text), true
	}
	return (*activation)(&f.Facts).ResolveName(name)
}

// Parent implements interpreter.Activation.
func (f *reportActivation) Parent() interpreter.Activation { return nil }
