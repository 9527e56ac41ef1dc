// Package verdict is what a shard says to a group of events.
package verdict

import "fmt"

// Result is the verdict on a group: the same on every replica. The numbers
// travel between nodes and never change.
type Result uint8

// The verdicts. A refused group changes nothing.
const (
	Applied   Result = 1
	Duplicate Result = 2  // Accepted again by the same submitter with the same digest: a success
	Conflict  Result = 3  // the id is known with another submitter or digest: draw another
	Abandoned Result = 4  // the id was abandoned before
	Missing   Result = 5  // Accepted names parts that are not recorded
	Unknown   Result = 6  // no such open message
	Stale     Result = 7  // not the current attempt, or nothing left to do; to Abandoned: Accepted came first
	Late      Result = 8  // decided in another term than it was committed in
	Malformed Result = 9  // the group contradicts itself
	Full      Result = 10 // there is no room for another note
)

// OK reports whether what the group says is now true.
func (r Result) OK() bool { return r == Applied || r == Duplicate }

var names = [...]string{
	"none", "applied", "duplicate", "conflict", "abandoned", "missing", "unknown", "stale", "late", "malformed", "full",
}

// String is the verdict's name, as "applied".
func (r Result) String() string {
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("result %d", r)
}
