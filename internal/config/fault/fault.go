// Package fault says what is wrong in a configuration, and where.
package fault

import (
	"fmt"
	"slices"
	"strings"
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

// Sorted is the faults in the order of their lines.
func (fs Faults) Sorted() Faults {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return fs
}
