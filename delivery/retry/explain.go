package retry

import (
	"slices"
	"strings"

	"quorumta/internal/policy"
)

// Said is what a rule says of an error.
type Said struct {
	Rule    string `json:"rule"`
	Verdict string `json:"verdict"`
	Why     string `json:"why,omitempty"`
}

// What a rule says.
const (
	Fits   = "fits"
	Passes = "passes"
	// Broken: nobody can tell whether it fits; the usual steps hold.
	Broken = "fails"
)

// Explain is what each rule says of an error, as far as they are asked: the first
// that fits decides, or one that cannot tell.
func (r *Rules) Explain(e Error) (all []Said) {
	for i := range r.rules {
		said := r.rules[i].says(&e)
		if all = append(all, said); said.Verdict != Passes {
			break
		}
	}
	return all
}

// says asks the rule.
func (rule *Rule) says(e *Error) Said {
	if len(rule.Errors) > 0 && !slices.ContainsFunc(rule.Errors, func(p Pattern) bool { return p.matches(e) }) {
		return Said{rule.Name, Passes, rule.otherErrors()}
	}
	holds, err := rule.If.Eval(&policy.Facts{Sender: e.Sender, Rcpt: e.Recipient})
	switch {
	case err != nil:
		return Said{rule.Name, Broken, "if: " + err.Error()}
	case holds:
		return Said{Rule: rule.Name, Verdict: Fits}
	}
	return Said{rule.Name, Passes, "if: " + rule.If.String() + " is false"}
}

// otherErrors says which errors the rule is for.
func (rule *Rule) otherErrors() string {
	var names []string
	for _, p := range rule.Errors {
		names = append(names, p.name)
	}
	return "errors: it is for " + strings.Join(names, ", ")
}
