package config

import (
	"fmt"
	"slices"
	"strings"

	"quorumta/internal/policy"
)

// Fault is one thing that is wrong in a file, and where.
type Fault struct {
	File         string
	Line, Column int
	What         string
	// Hint says what to do; "" where that is plain.
	Hint string
}

// String is file:line:column: what, hint.
func (f Fault) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s", f.File, f.Line, f.Column, f.What)
	if f.Hint != "" {
		s += ", " + f.Hint
	}
	return s
}

// Faults are all that is wrong in a file, in its order.
type Faults []Fault

// Error implements error: a line for each fault.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

func (fs Faults) sorted() Faults {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return fs
}

// suggest names the known word that is nearest to the given one, if one is
// near, and all of them otherwise.
func suggest(word string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if d := policy.Distance(word, k); d < least {
			best, least = k, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "known here: " + strings.Join(known, ", ")
}
