// Package retry says when a deferred recipient is tried again, when it has
// been tried for long enough, and when its sender is told of the delay. It is
// pure: the time and the randomness come from the caller.
package retry

import (
	"time"

	"quorumta/internal/mail"
	"quorumta/internal/policy"
	"quorumta/queue/event"
)

// Step is one stretch of a rule.
type Step struct {
	// Letter is 'F' (fixed interval), 'G' (interval grows by Factor with each
	// try) or 'H' (as G, drawn at random within the interval).
	Letter byte
	// Cutoff is the end of the step, counted from the first failure.
	Cutoff   time.Duration
	Interval time.Duration
	Factor   float64
}

// ParseStep reads "F 2h 15m", "G 16h 1h 1.5" or "H 16h 1h 1.5".
func ParseStep(s string) (Step, error) { panic("retry: ParseStep is not built") }

// Rule is a schedule for some recipients and errors.
type Rule struct {
	Name string
	// If is nil or a condition over sender and rcpt.
	If *policy.Condition
	// Errors are the kinds that the rule is for; empty means all.
	Errors []event.ErrorKind
	Steps  []Step
}

// Rules are rules in order, the first that fits decides; safe for concurrent
// use. Where none fits the schedule is F 2h 15m, G 16h 1h 1.5, F 4d 6h.
type Rules struct{}

// New checks the rules. Random returns a number in [0, n); nil means
// math/rand/v2.
func New(rules []Rule, random func(n int64) int64) (*Rules, error) {
	panic("retry: New is not built")
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
func (r *Rules) Next(e Error) (due time.Time, expired bool) { panic("retry: Next is not built") }

// Warnings are the ages at which a sender is told of a delay, ascending.
type Warnings []time.Duration

// Due reports whether warning number sent (from 0) is due.
func (w Warnings) Due(accepted time.Time, sent uint32, now time.Time) bool {
	panic("retry: Due is not built")
}

// Next is when warning number sent will be due; ok is false if there is none.
func (w Warnings) Next(accepted time.Time, sent uint32) (at time.Time, ok bool) {
	panic("retry: Next is not built")
}
