package clock

import (
	"slices"
	"sync"
	"time"
)

const (
	// most is how far a clock may be off.
	most = 60 * time.Second
	// probation is how long a clock that jumped is distrusted where no majority
	// of other clocks speaks for it.
	probation = 10 * time.Minute
)

// Guard compares a node's wall clock with its monotonic one and with the
// clocks of the other members. Its methods are safe for concurrent use.
type Guard struct {
	mu       sync.Mutex
	compared bool          // with a majority, once at least
	off      bool          // the members' median says so
	offset   time.Duration // of the median, as last seen
	wall     time.Time     // at the last Tick
	steady   time.Duration // monotonic reading at the last Tick
	ticked   bool
	distrust time.Duration // monotonic reading until which a jump counts
}

// Tick takes a reading of the wall clock and, at the same moment, one of the
// monotonic clock. It returns by how much the wall clock has jumped since the
// last Tick if that is too much, and 0 otherwise.
func (g *Guard) Tick(wall time.Time, steady time.Duration) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	jump := wall.Round(0).Sub(g.wall) - (steady - g.steady)
	if !g.ticked || jump.Abs() <= most {
		jump = 0
	}
	g.wall, g.steady, g.ticked = wall.Round(0), steady, true
	if jump != 0 {
		g.distrust = steady + probation
	}
	return jump
}

// Compare takes by how much the clocks of the other members that answered are
// ahead of this node's; members counts all, this node included. Without a
// majority nothing changes. It returns the median.
func (g *Guard) Compare(ahead []time.Duration, members int) time.Duration {
	all := append(slices.Clone(ahead), 0)
	median := middle(all)
	g.mu.Lock()
	defer g.mu.Unlock()
	if 2*len(all) <= members {
		return g.offset
	}
	g.compared = true
	g.offset = median
	g.off = median.Abs() > most
	if !g.off && len(ahead) > 0 {
		g.distrust = 0
	}
	return median
}

// middle is the median. Of two in the middle it is the one that is further off:
// where two clocks disagree, neither may decide.
func middle(all []time.Duration) time.Duration {
	slices.Sort(all)
	lower, upper := all[(len(all)-1)/2], all[len(all)/2]
	if lower.Abs() > upper.Abs() {
		return lower
	}
	return upper
}

// Compared reports whether the clock was ever compared with those of a majority.
func (g *Guard) Compared() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.compared
}

// Trusted reports whether the clock may decide, at the monotonic reading. It
// does not know whether there are others that the clock is still to be compared
// with.
func (g *Guard) Trusted(steady time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.off && (g.distrust == 0 || steady >= g.distrust)
}
