package policy

import (
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// fieldMap is a header as routers see it: names in whatever case, and "" for a
// field that is not there, since a message that lacks one must not wait for it.
type fieldMap struct {
	traits.Mapper
	fields map[string]string
}

// newFieldMap has fields by their names in lower case.
func newFieldMap(fields map[string]string) fieldMap {
	return fieldMap{types.NewStringStringMap(types.DefaultTypeAdapter, fields), fields}
}

// Find implements traits.Mapper.
func (m fieldMap) Find(name ref.Val) (ref.Val, bool) {
	text, ok := name.(types.String)
	if !ok {
		return m.Mapper.Find(name)
	}
	return types.String(m.fields[strings.ToLower(string(text))]), true
}

// Get implements traits.Mapper.
func (m fieldMap) Get(name ref.Val) ref.Val {
	if value, ok := m.Find(name); ok {
		return value
	}
	return m.Mapper.Get(name)
}

// Contains implements traits.Mapper.
func (m fieldMap) Contains(name ref.Val) ref.Val {
	if text, ok := name.(types.String); ok {
		_, there := m.fields[strings.ToLower(string(text))]
		return types.Bool(there)
	}
	return m.Mapper.Contains(name)
}
