package rules

import (
	"fmt"

	"quorumta/internal/config"
	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/internal/rewrite"
)

// Rewrites compiles the rules of a file for addresses.
func Rewrites(f *config.File) (rewrite.Rules, error) {
	var all rewrite.Rules
	for _, r := range f.Rewrites {
		rule := rewrite.Rule{Name: r.Name, In: rewrite.ParsePlaces(r.In), Whole: r.Whole, Repeat: r.Repeat, Stop: r.Stop}
		var err error
		if rule.If, err = f.Env().AddressCondition(r.If); err != nil {
			return nil, fmt.Errorf("rewrite rule %s: %w", r.Name, err)
		}
		if r.To != "" {
			if rule.To, err = f.Env().AddressText(r.To); err != nil {
				return nil, fmt.Errorf("rewrite rule %s: %w", r.Name, err)
			}
		}
		all = append(all, rule)
	}
	return all, nil
}

// recipients asks the rules about an address that comes in a recipient's place;
// nil where none is for such. What a list names may need SMTPUTF8: so may what
// becomes of it, and the transport sees to that.
func recipients(all rewrite.Rules) func(*policy.Facts, mail.Address) (mail.Address, []string, error) {
	if !all.In(rewrite.EnvelopeTo) {
		return nil
	}
	return func(f *policy.Facts, a mail.Address) (mail.Address, []string, error) {
		steps, err := all.Rewrite(f, a, rewrite.EnvelopeTo, true)
		if err != nil {
			return a, nil, err
		}
		var by []string
		for _, step := range steps {
			if step.Address != a {
				by = append(by, step.Rule)
			}
			a = step.Address
		}
		return a, by, nil
	}
}
