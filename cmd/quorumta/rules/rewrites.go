package rules

import (
	"fmt"

	"quorumta/internal/config"
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
