package retry

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/queue/event"
)

// Rule is a schedule for some recipients and errors.
type Rule struct {
	Name string
	// If is nil or a condition over sender and rcpt.
	If *policy.Condition
	// Errors are the kinds that the rule is for; empty means all.
	Errors []event.ErrorKind
	// Steps have ascending cut-offs; without any the first failure is final.
	Steps []Step
}

// ErrorKindNames are the names that configuration uses for kinds of errors.
var ErrorKindNames = map[string]event.ErrorKind{
	"routing":   event.ErrorRouting,
	"connect":   event.ErrorConnect,
	"tls":       event.ErrorTLS,
	"timeout":   event.ErrorTimeout,
	"lost":      event.ErrorLost,
	"greeting":  event.ErrorGreeting,
	"sender":    event.ErrorSender,
	"recipient": event.ErrorRecipient,
	"content":   event.ErrorContent,
	"internal":  event.ErrorInternal,
}

// Rules are rules in order, the first that fits decides; safe for concurrent
// use. Where none fits, or a condition fails to tell, the schedule is
// F 2h 15m, G 16h 1h 1.5, F 4d 6h.
type Rules struct {
	rules  []Rule
	random func(n int64) int64
}

// ordinary is the schedule where no rule fits.
var ordinary = []Step{
	{'F', 2 * time.Hour, 15 * time.Minute, 1},
	{'G', 16 * time.Hour, time.Hour, 1.5},
	{'F', 4 * day, 6 * time.Hour, 1},
}

// New checks the rules. Random returns a number in [0, n); nil means
// math/rand/v2.
func New(rules []Rule, random func(n int64) int64) (*Rules, error) {
	if random == nil {
		random = rand.Int64N
	}
	var faults []error
	for i, rule := range rules {
		if rule.Name == "" {
			faults = append(faults, fmt.Errorf("retry rule %d has no name", i+1))
		}
		var cutoff time.Duration
		for _, step := range rule.Steps {
			if err := step.check(); err != nil {
				faults = append(faults, fmt.Errorf("retry rule %s: %w", rule.Name, err))
			}
			if step.Cutoff <= cutoff {
				faults = append(faults, fmt.Errorf("retry rule %s: step %q: cut-offs count from the first failure, one after %s is expected",
					rule.Name, step, formatDuration(cutoff)))
			}
			cutoff = step.Cutoff
		}
	}
	return &Rules{rules: slices.Clone(rules), random: random}, errors.Join(faults...)
}

// Error is a recipient's newest unsuccessful attempt and those before it.
type Error struct {
	Recipient, Sender mail.Address
	Kind              event.ErrorKind
	// Code is the reply code; 0 if there was no reply.
	Code int
	// FirstFailed and LastFailed are zero at the first failure.
	Accepted, FirstFailed, LastFailed, Now time.Time
	// Tries counts the failures before this one.
	Tries uint32
}

// Next says when the recipient is due again, or that its last step has ended.
func (r *Rules) Next(e Error) (due time.Time, expired bool) {
	steps := r.steps(e)
	first := e.FirstFailed
	if first.IsZero() {
		first = e.Now
	}
	elapsed := max(e.Now.Sub(first), 0)
	var began time.Duration
	for _, step := range steps {
		if elapsed < step.Cutoff {
			wait := step.interval(elapsed-began, r.random)
			end := first.Add(steps[len(steps)-1].Cutoff)
			if due = e.Now.Add(wait); due.After(end) {
				due = end
			}
			return due, false
		}
		began = step.Cutoff
	}
	return time.Time{}, true
}

// Until is when the recipient's failures become final, as far as is known now:
// for the Will-Retry-Until of a delay warning.
func (r *Rules) Until(e Error) time.Time {
	first := e.FirstFailed
	if first.IsZero() {
		first = e.Now
	}
	steps := r.steps(e)
	if len(steps) == 0 {
		return first
	}
	return first.Add(steps[len(steps)-1].Cutoff)
}

func (r *Rules) steps(e Error) []Step {
	facts := &policy.Facts{Sender: e.Sender, Rcpt: e.Recipient}
	for _, rule := range r.rules {
		if len(rule.Errors) > 0 && !slices.Contains(rule.Errors, e.Kind) {
			continue
		}
		holds, err := rule.If.Eval(facts)
		if err != nil {
			return ordinary
		}
		if holds {
			return rule.Steps
		}
	}
	return ordinary
}
