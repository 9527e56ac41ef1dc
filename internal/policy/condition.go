package policy

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
)

const (
	// freeCost is the estimated cost up to which an expression runs unmetered,
	// in CEL's units: some tens of microseconds at worst.
	freeCost = 20_000
	// maxCost stops a metered expression: some milliseconds.
	maxCost = 1_000_000
	// textSize is the longest text a variable is taken to have when costs are
	// estimated: an address has at most 254 octets, a host name 255.
	textSize = 256
	// listSize is the longest list a variable is taken to have.
	listSize = 1000
)

// Condition is a compiled expression of type bool, safe for concurrent use.
// Nil is always true.
type Condition struct {
	source  string
	program cel.Program // nil for the empty expression
}

// Condition compiles an expression; the empty one is always true. The error is
// a Faults: line and column within the expression and what was expected.
// Where groups are given, as "sender" and "rcpt", only names of these and
// nets and lists are known.
func (e *Env) Condition(expr string, groups ...string) (*Condition, error) {
	return e.conditions.condition(expr, groups)
}

// String is the expression as it was written.
func (c *Condition) String() string {
	if c == nil {
		return ""
	}
	return c.source
}

// Eval evaluates the condition. An error is a run-time failure, which is never
// to be taken for false (451 4.3.5).
func (c *Condition) Eval(f *Facts) (bool, error) { return c.eval((*activation)(f)) }

func (c *Condition) eval(vars cel.Activation) (bool, error) {
	if c == nil || c.program == nil {
		return true, nil
	}
	value, _, err := c.program.Eval(vars)
	if err != nil {
		return false, fmt.Errorf("evaluate %q: %w", c.source, err)
	}
	result, ok := value.(types.Bool)
	if !ok {
		return false, fmt.Errorf("evaluate %q: the result is a %v, not a bool", c.source, value.Type())
	}
	return bool(result), nil
}

func (s scope) condition(expr string, groups []string) (*Condition, error) {
	c := &Condition{source: expr}
	if strings.TrimSpace(expr) == "" {
		return c, nil
	}
	var err error
	if c.program, err = s.compile(expr, groups, cel.BoolType); err != nil {
		return nil, err
	}
	return c, nil
}

// compile makes a program of an expression whose result has the type. The error
// is a Faults.
func (s scope) compile(expr string, groups []string, want *cel.Type) (cel.Program, error) {
	parsed, issues := s.env.Parse(expr)
	if issues.Err() != nil {
		return nil, faultsOf(issues)
	}
	if faults := s.checkNames(parsed, groups); len(faults) > 0 {
		return nil, faults
	}
	checked, issues := s.env.Check(parsed)
	if issues.Err() != nil {
		return nil, faultsOf(issues)
	}
	if t := checked.OutputType(); !t.IsExactType(want) {
		return nil, Faults{{Line: 1, Column: 1, What: fmt.Sprintf("the result is a %s; a %s is expected",
			cel.FormatCELType(t), cel.FormatCELType(want))}}
	}
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if !s.cheap(checked) {
		options = append(options, cel.CostLimit(maxCost))
	}
	program, err := s.env.Program(checked, options...)
	if err != nil {
		return nil, Faults{{Line: 1, Column: 1, What: err.Error()}}
	}
	return program, nil
}

// cheap reports whether the expression provably costs little, so that metering
// it, which doubles its time, can be spared.
func (s scope) cheap(checked *cel.Ast) bool {
	estimate, err := s.env.EstimateCost(checked, sizes{})
	return err == nil && estimate.Max <= freeCost
}

// sizes tells the cost estimate how long variables get.
type sizes struct{}

// EstimateSize implements cost.Estimator.
func (sizes) EstimateSize(element cost.AstNode) *cost.SizeEstimate {
	if len(element.Path()) == 0 {
		return nil
	}
	if element.Type().Kind() == types.ListKind {
		return &cost.SizeEstimate{Max: listSize}
	}
	return &cost.SizeEstimate{Max: textSize}
}

// EstimateCallCost implements cost.Estimator.
func (sizes) EstimateCallCost(function, overload string, _ *cost.AstNode, _ []cost.AstNode) *cost.CallEstimate {
	if overload == "ip_in_net" || overload == "text_in_names" {
		return &cost.CallEstimate{CostEstimate: cost.Estimate{Min: 1, Max: 10}}
	}
	return nil
}
