package egress

import "net/netip"

// Family is which of the two Internet protocols are used.
type Family string

// The families; "" is FamilyAny.
const (
	// FamilyAny tries both at nearly the same time, IPv6 first (RFC 8305).
	FamilyAny Family = "any"
	Family4   Family = "4"
	Family6   Family = "6"
	// FamilyPrefer4 and FamilyPrefer6 use the other one only where all of a
	// host's addresses have failed.
	FamilyPrefer4 Family = "prefer4"
	FamilyPrefer6 Family = "prefer6"
)

// Reaches reports whether a host's address may be connected to.
func (w *Way) Reaches(addr netip.Addr) bool {
	if w == nil {
		return true
	}
	is4 := addr.Unmap().Is4()
	if w.Family == Family4 && !is4 || w.Family == Family6 && is4 {
		return false
	}
	return !w.From4.IsValid() && !w.From6.IsValid() || w.source(addr).IsValid()
}

// Before says in which order two addresses of a host are tried: negative where
// the first one comes first, 0 where they are tried together.
func (w *Way) Before(a, b netip.Addr) int {
	if w == nil || w.Family != FamilyPrefer4 && w.Family != FamilyPrefer6 {
		return 0
	}
	rank := func(addr netip.Addr) int {
		if addr.Unmap().Is4() == (w.Family == FamilyPrefer4) {
			return 0
		}
		return 1
	}
	return rank(a) - rank(b)
}
