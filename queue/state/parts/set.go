// Package parts counts the parts of an upload that are recorded.
package parts

import "slices"

// Set is a set of parts, a bit each, the first one lowest. It is never changed.
type Set []byte

// Has reports whether part n is in the set.
func (s Set) Has(n uint32) bool { return int(n/8) < len(s) && s[n/8]&(1<<(n%8)) != 0 }

// With is the set with part n in it.
func (s Set) With(n uint32) Set {
	s = slices.Clone(s)
	if grow := int(n/8) + 1 - len(s); grow > 0 {
		s = append(s, make([]byte, grow)...)
	}
	s[n/8] |= 1 << (n % 8)
	return s
}

// Each calls f for the parts of the set, ascending.
func (s Set) Each(f func(n uint32)) {
	for n := range uint32(len(s) * 8) {
		if s.Has(n) {
			f(n)
		}
	}
}
