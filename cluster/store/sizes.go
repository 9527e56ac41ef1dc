package store

import "sort"

// sizeSpacing is how many bytes of log lie between two size points.
const sizeSpacing = 256 << 10

// sizes knows about how many bytes lie between two places of a log: points
// taken every sizeSpacing bytes, which are stored beside the entries. It is
// guarded by its log.
type sizes struct {
	points []sizePoint // ascending
	total  uint64      // bytes of all entries that were ever appended, less a cut tail
}

type sizePoint struct {
	index uint64
	total uint64 // of all entries up to index, included
}

// next is the point to be taken at the index if all entries up to it have the
// total and last is the point before it.
func (p sizePoint) next(index, total uint64) (sizePoint, bool) {
	return sizePoint{index, total}, total-p.total >= sizeSpacing
}

// last is the newest point; zeros if there is none.
func (s *sizes) last() sizePoint {
	if len(s.points) == 0 {
		return sizePoint{}
	}
	return s.points[len(s.points)-1]
}

// cut forgets the points outside [first, last]. One before first is kept: the
// total at first cannot be told without it.
func (s *sizes) cut(first, last uint64) {
	n := sort.Search(len(s.points), func(i int) bool { return s.points[i].index >= first })
	s.points = s.points[max(n-1, 0):]
	n = sort.Search(len(s.points), func(i int) bool { return s.points[i].index > last })
	s.points = s.points[:n]
}

// within is how many of the newest entries of a log [first, last] have about
// the number of bytes.
func (s *sizes) within(bytes, first, last uint64) uint64 {
	all := last - first + 1
	if s.total <= bytes {
		return all
	}
	target := s.total - bytes
	n := sort.Search(len(s.points), func(i int) bool { return s.points[i].total >= target })
	lower, upper := sizePoint{index: first - 1}, sizePoint{last, s.total}
	if n > 0 {
		lower = s.points[n-1]
	}
	if n < len(s.points) {
		upper = s.points[n]
	}
	if n == 0 && upper.index >= first {
		lower.total = upper.total - min(upper.total, sizeSpacing)
		if lower.total >= target {
			return all
		}
	}
	index := upper.index
	if upper.total > lower.total && upper.index > lower.index {
		index = lower.index + (target-lower.total)*(upper.index-lower.index)/(upper.total-lower.total)
	}
	return min(max(last-min(index, last), 1), all)
}
