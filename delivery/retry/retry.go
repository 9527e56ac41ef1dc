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
	// Errors are those that the rule is for; empty means all.
	Errors []Pattern
	// Steps have ascending cut-offs; without any the first failure is final.
	Steps []Step
	// Warnings are the rule's own ages to tell senders of a delay at; nil leaves
	// that to what is said for all mail.
	Warnings Warnings
}

// Options bound what rules say, and say what they count. Zero means the default.
type Options struct {
	// AnySender: failures of an address count for all senders together, not for
	// each.
	AnySender bool
	// TryAfterCutoff: what is for hosts that have failed past the last cut-off is
	// tried once, each message; otherwise one is tried for all in each interval
	// (Exim's delay_after_cutoff, which is the default there as well).
	TryAfterCutoff bool
	// Remember is after what time without news a failure is forgotten; 7 d.
	Remember time.Duration
	// IntervalMost is the longest interval; 24 h.
	IntervalMost time.Duration
	// Random returns a number in [0, n); nil means math/rand/v2.
	Random func(n int64) int64
}

// Rules are rules in order, the first that fits decides; safe for concurrent
// use. Where none fits, or a condition fails to tell, the schedule is
// F 2h 15m, G 16h 1h 1.5, F 4d 6h.
type Rules struct {
	rules []Rule
	o     Options
}

// ordinary is the schedule where no rule fits.
var ordinary = []Step{
	{'F', 2 * time.Hour, 15 * time.Minute, 1},
	{'G', 16 * time.Hour, time.Hour, 1.5},
	{'F', 4 * day, 6 * time.Hour, 1},
}

// New checks the rules.
func New(rules []Rule, o Options) (*Rules, error) {
	if o.Random == nil {
		o.Random = rand.Int64N
	}
	if o.IntervalMost == 0 {
		o.IntervalMost = day
	}
	if o.Remember == 0 {
		o.Remember = week
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
	return &Rules{rules: slices.Clone(rules), o: o}, errors.Join(faults...)
}

// Options are those that the rules were made with.
func (r *Rules) Options() Options { return r.o }

// Error is a recipient's newest unsuccessful attempt and those before it.
type Error struct {
	Recipient, Sender mail.Address
	Kind              event.ErrorKind
	// Reply is the server's, or our own words with Code 0.
	Reply mail.Reply
	// MX says that the host was found by MX records.
	MX bool
	// Unread is for how long the mailbox was not read, where it is full.
	Unread time.Duration
	// Since is the first failure of what failed: the host, the message at it, or
	// the address, whatever mail met it; zero at the first.
	Since time.Time
	// FirstFailed is the recipient's own first failure; zero at the first.
	FirstFailed time.Time
	Now         time.Time
}

// Plan is what the rules say of an error.
type Plan struct {
	// Rule is the name of the rule, "" of the one that fits where no other does.
	Rule  string
	Steps []Step
	// Step is the index of the step that decides, len(Steps) once the last has
	// ended.
	Step int
	// Due is the time of the next attempt; the zero time where this failure was
	// the last.
	Due     time.Time
	Expired bool
	// Past says that it is what failed that has come to the last cut-off, and not
	// this recipient alone.
	Past bool
	// Until is when a failure will be the last.
	Until time.Time
	// Warnings are the rule's own; nil: those for all mail.
	Warnings Warnings
}

// Plan says when the recipient is due again, or that its last step has ended.
//
// The steps count from the first failure of what failed. A recipient whose own
// failures have gone on for longer than the last cut-off is at its end as well:
// what works for others and not for it would be tried for ever.
func (r *Rules) Plan(e Error) Plan {
	rule := r.rule(&e)
	p := Plan{Rule: rule.Name, Steps: rule.Steps, Warnings: rule.Warnings}
	since, own := orNow(e.Since, e.Now), orNow(e.FirstFailed, e.Now)
	p.Until = since
	if len(rule.Steps) == 0 {
		p.Expired = true
		return p
	}
	last := rule.Steps[len(rule.Steps)-1].Cutoff
	p.Until = earlier(since, own).Add(last)
	elapsed := max(e.Now.Sub(since), 0)
	p.Past = elapsed >= last
	var began time.Duration
	for p.Step = 0; p.Step < len(rule.Steps) && elapsed >= rule.Steps[p.Step].Cutoff; p.Step++ {
		began = rule.Steps[p.Step].Cutoff
	}
	if !e.Now.Before(p.Until) {
		p.Expired, p.Step = true, len(rule.Steps)
		return p
	}
	p.Due = earlier(e.Now.Add(r.interval(rule.Steps[p.Step], elapsed-began)), p.Until)
	return p
}

// Probe is when something may be tried again that has failed past the last
// cut-off: once in each interval of the last step.
func (r *Rules) Probe(e Error) time.Time {
	steps := r.rule(&e).Steps
	if len(steps) == 0 {
		return e.Now
	}
	last := steps[len(steps)-1]
	began := time.Duration(0)
	if len(steps) > 1 {
		began = steps[len(steps)-2].Cutoff
	}
	elapsed := min(max(e.Now.Sub(orNow(e.Since, e.Now)), 0), last.Cutoff)
	return e.Now.Add(r.interval(last, elapsed-began))
}

func (r *Rules) interval(s Step, since time.Duration) time.Duration {
	return min(s.interval(since, r.o.Random), r.o.IntervalMost)
}

// rule is the one for the error.
func (r *Rules) rule(e *Error) *Rule {
	for i := range r.rules {
		switch r.rules[i].says(e).Verdict {
		case Fits:
			return &r.rules[i]
		case Broken:
			return &Rule{Steps: ordinary}
		}
	}
	return &Rule{Steps: ordinary}
}

func orNow(t, now time.Time) time.Time {
	if t.IsZero() {
		return now
	}
	return t
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
