package raftlog

import "sort"

// spacing is how many bytes of log lie between two size points.
const spacing = 256 << 10

// sizes tells about how many bytes lie between two places of a log, by points
// that are taken every 256 KiB and stored beside the entries. It is not safe
// for concurrent use.
type sizes struct {
	points []sizePoint // ascending
	// Total is the bytes of all entries ever appended, less those cut from the
	// end.
	Total uint64
}

// sizePoint says that all entries up to Index, included, have Total bytes.
type sizePoint struct {
	Index, Total uint64
}

// Due reports whether a point should follow p where the total has been
// reached.
func (p sizePoint) Due(total uint64) bool { return total-p.Total >= spacing }

// Last is the newest point; zeros if there is none.
func (s *sizes) Last() sizePoint {
	if len(s.points) == 0 {
		return sizePoint{}
	}
	return s.points[len(s.points)-1]
}

// Cut forgets the points outside [first, last]. One before first is kept: the
// total at first cannot be told without it.
func (s *sizes) Cut(first, last uint64) {
	n := sort.Search(len(s.points), func(i int) bool { return s.points[i].Index >= first })
	s.points = s.points[max(n-1, 0):]
	n = sort.Search(len(s.points), func(i int) bool { return s.points[i].Index > last })
	s.points = s.points[:n]
}

// Within is how many of the newest entries of a log [first, last] have about
// the number of bytes: at least one, at most all.
func (s *sizes) Within(bytes, first, last uint64) uint64 {
	all := last - first + 1
	if s.Total <= bytes {
		return all
	}
	target := s.Total - bytes // what is above it counts
	lower, upper := s.around(target, first, last)
	if lower.Total >= target {
		return all
	}
	index := upper.Index
	if upper.Total > lower.Total && upper.Index > lower.Index {
		index = lower.Index + (target-lower.Total)*(upper.Index-lower.Index)/(upper.Total-lower.Total)
	}
	return min(max(last-min(index, last), 1), all)
}

// around is the points below and at or above the total. Below the first point
// lies the beginning of the log, whose total can only be guessed.
func (s *sizes) around(total, first, last uint64) (lower, upper sizePoint) {
	n := sort.Search(len(s.points), func(i int) bool { return s.points[i].Total >= total })
	lower, upper = sizePoint{Index: first - 1}, sizePoint{last, s.Total}
	if n < len(s.points) {
		upper = s.points[n]
	}
	switch {
	case n > 0:
		lower = s.points[n-1]
	case upper.Index >= first:
		lower.Total = upper.Total - min(upper.Total, spacing)
	}
	return lower, upper
}
