// Package rules makes of what a configuration says what the rooms work with. The
// node does so when it starts and reloads, and so do the commands that explain a
// rule.
package rules

import (
	"errors"
	"fmt"
	"time"

	"quorumta/delivery/retry"
	"quorumta/internal/config"
)

// Retry compiles the retry rules of a file. The error is a config.Faults where
// it is the operator's.
func Retry(f *config.File) (*retry.Rules, error) {
	var rules []retry.Rule
	var faults config.Faults
	fault := func(path string, err error) {
		var found config.Faults
		if errors.As(f.Fault(path, err.Error()), &found) {
			faults = append(faults, found...)
		}
	}
	for i, r := range f.Retry {
		path := fmt.Sprintf("retry[%d]", i)
		c, err := f.Env().Condition(r.If)
		if err != nil {
			return nil, fmt.Errorf("retry rule %s: %w", r.Name, err)
		}
		rule := retry.Rule{Name: r.Name, If: c, Warnings: Warnings(r.WarnAfter)}
		for j, text := range r.Steps {
			step, err := retry.ParseStep(text)
			if err != nil {
				fault(fmt.Sprintf("%s.steps[%d]", path, j), err)
			}
			rule.Steps = append(rule.Steps, step)
		}
		for j, text := range r.Errors {
			p, err := retry.ParsePattern(text)
			if err != nil {
				fault(fmt.Sprintf("%s.errors[%d]", path, j), err)
			}
			rule.Errors = append(rule.Errors, p)
		}
		rules = append(rules, rule)
	}
	if len(faults) > 0 {
		return nil, faults
	}
	l := f.RetryLimits
	return retry.New(rules, retry.Options{
		IntervalMost: time.Duration(l.Interval), Remember: time.Duration(l.Remember),
		AnySender: !l.PerSender, TryAfterCutoff: !l.DelayAfterCutoff,
	})
}

// Warnings are the ages at which a sender is told of a delay; nil where nothing
// is said of them.
func Warnings(ages []config.Duration) retry.Warnings {
	if ages == nil {
		return nil
	}
	w := make(retry.Warnings, 0, len(ages))
	for _, d := range ages {
		w = append(w, time.Duration(d))
	}
	return w
}
