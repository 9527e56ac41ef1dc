package limit

import (
	"regexp"
	"time"

	"quorumta/internal/mail"
)

// Pattern says what follows from a server's answer: one of Suspend, Connections
// and Factor, for a time.
type Pattern struct {
	// Match is tried on the reply as one line: code, enhanced code, text.
	Match *regexp.Regexp
	For   time.Duration
	// Suspend has all mail of the site wait; Connections is the most that it
	// gets; Factor, below 1, is what rates and connections are multiplied with.
	Suspend     bool
	Connections int
	Factor      float64
}

// Heard is the first pattern that a reply matches; nil: none does. A positive
// reply matches none.
func Heard(patterns []Pattern, r mail.Reply) *Pattern {
	if r.Code < 400 {
		return nil
	}
	line := r.String()
	for i := range patterns {
		if patterns[i].Match.MatchString(line) {
			return &patterns[i]
		}
	}
	return nil
}
