package policy

import (
	"fmt"
	"reflect"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"golang.org/x/net/idna"
)

// nameSet is a set of texts and of whole subtrees of the domain name space.
type nameSet struct {
	exact map[string]struct{}
	// below holds example.com for ".example.com" and "*.example.com".
	below map[string]struct{}
}

func newNameSet(entries []string) nameSet {
	s := nameSet{exact: map[string]struct{}{}, below: map[string]struct{}{}}
	for _, entry := range entries {
		entry = strings.TrimSuffix(strings.ToLower(entry), ".")
		set := s.exact
		if rest := strings.TrimPrefix(entry, "*"); strings.HasPrefix(rest, ".") {
			entry, set = rest[1:], s.below
		}
		for _, form := range spellings(entry) {
			set[form] = struct{}{}
		}
	}
	return s
}

// spellings are the U-label and A-label forms of a domain, or of an address
// with that domain: which of them a client uses is its own choice (RFC 6531,
// section 3.2).
func spellings(entry string) []string {
	at := strings.LastIndexByte(entry, '@') + 1
	forms := []string{entry}
	if ascii, err := idna.Lookup.ToASCII(entry[at:]); err == nil {
		forms = append(forms, entry[:at]+ascii)
	}
	if unicode, err := idna.Lookup.ToUnicode(entry[at:]); err == nil {
		forms = append(forms, entry[:at]+unicode)
	}
	return forms
}

func (s nameSet) contains(name string) bool {
	name = strings.ToLower(name)
	if _, ok := s.exact[name]; ok {
		return true
	}
	if len(s.below) == 0 {
		return false
	}
	for {
		dot := strings.IndexByte(name, '.')
		if dot < 0 {
			return false
		}
		name = name[dot+1:]
		if _, ok := s.below[name]; ok {
			return true
		}
	}
}

// listValue is a nameSet as a CEL value.
type listValue struct {
	name string
	typ  *cel.Type
	set  nameSet
}

// Contains implements traits.Container, and with it the operator in.
func (v *listValue) Contains(value ref.Val) ref.Val {
	s, ok := value.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(value)
	}
	return types.Bool(v.set.contains(string(s)))
}

// ConvertToNative implements ref.Val.
func (v *listValue) ConvertToNative(t reflect.Type) (any, error) { return nil, noConversion(v, t) }

// ConvertToType implements ref.Val.
func (v *listValue) ConvertToType(t ref.Type) ref.Val { return convertOwn(v, t) }

// Equal implements ref.Val.
func (v *listValue) Equal(other ref.Val) ref.Val { return types.Bool(ref.Val(v) == other) }

// Type implements ref.Val.
func (v *listValue) Type() ref.Type { return v.typ }

// Value implements ref.Val.
func (v *listValue) Value() any { return v.name }

func noConversion(v ref.Val, t reflect.Type) error {
	return fmt.Errorf("%v %v cannot become a Go %v", v.Type(), v.Value(), t)
}

func convertOwn(v ref.Val, t ref.Type) ref.Val {
	switch t {
	case v.Type():
		return v
	case types.TypeType:
		return v.Type().(ref.Val)
	}
	return types.NewErr("%v cannot be converted to %v", v.Type(), t)
}
