package config

import (
	"strings"

	"quorumta/internal/config/fault"
	"quorumta/internal/policy"
)

// Fault is one thing that is wrong in a file, and where; Faults are all of them,
// in the file's order.
type (
	Fault  = fault.Fault
	Faults = fault.Faults
)

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
