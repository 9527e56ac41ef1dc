package policy

import (
	"net/netip"
	"reflect"
	"slices"
	"sort"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
)

// prefixSet is a set of addresses: disjoint prefixes in ascending order.
type prefixSet []netip.Prefix

// newPrefixSet relies on prefixes being nested or disjoint: sorted, each one
// that lies within its predecessor is dropped.
func newPrefixSet(prefixes []netip.Prefix) prefixSet {
	sorted := make([]netip.Prefix, 0, len(prefixes))
	for _, p := range prefixes {
		sorted = append(sorted, unmapPrefix(p).Masked())
	}
	slices.SortFunc(sorted, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var set prefixSet
	for _, p := range sorted {
		if n := len(set); n > 0 && set[n-1].Overlaps(p) {
			continue
		}
		set = append(set, p)
	}
	return set
}

// unmapPrefix turns ::ffff:10.0.0.0/104 into 10.0.0.0/8.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

func (s prefixSet) contains(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	after := sort.Search(len(s), func(i int) bool { return addr.Less(s[i].Addr()) })
	return after > 0 && s[after-1].Contains(addr)
}

// netValue is a prefixSet as a CEL value.
type netValue struct {
	name string
	typ  *cel.Type
	set  prefixSet
}

// Contains implements traits.Container, and with it the operator in.
func (v *netValue) Contains(value ref.Val) ref.Val {
	ip, ok := value.(ext.IP)
	if !ok {
		return types.MaybeNoSuchOverloadErr(value)
	}
	return types.Bool(v.set.contains(ip.Addr))
}

// ConvertToNative implements ref.Val.
func (v *netValue) ConvertToNative(t reflect.Type) (any, error) { return nil, noConversion(v, t) }

// ConvertToType implements ref.Val.
func (v *netValue) ConvertToType(t ref.Type) ref.Val { return convertOwn(v, t) }

// Equal implements ref.Val.
func (v *netValue) Equal(other ref.Val) ref.Val { return types.Bool(ref.Val(v) == other) }

// Type implements ref.Val.
func (v *netValue) Type() ref.Type { return v.typ }

// Value implements ref.Val.
func (v *netValue) Value() any { return v.name }
