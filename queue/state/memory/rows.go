// Package memory keeps the rows of a shard in memory: state for tests, and for
// whoever wants to fold without a store.
package memory

import (
	"maps"
	"slices"
)

// Rows is a state.Reader and a state.Writer. It is used by one goroutine at a
// time; its zero value is empty.
type Rows struct {
	rows   map[string][]byte
	sorted []string // nil: to be sorted anew
}

// Clone copies the rows.
func (r *Rows) Clone() *Rows { return &Rows{rows: maps.Clone(r.rows)} }

// Get implements state.Reader.
func (r *Rows) Get(key []byte) ([]byte, bool) {
	v, ok := r.rows[string(key)]
	return slices.Clone(v), ok
}

// Scan implements state.Reader.
func (r *Rows) Scan(lo, hi []byte, f func(key, value []byte) bool) {
	if r.sorted == nil {
		r.sorted = slices.Sorted(maps.Keys(r.rows))
	}
	from, _ := slices.BinarySearch(r.sorted, string(lo))
	for _, k := range r.sorted[from:] {
		if hi != nil && k >= string(hi) || !f([]byte(k), r.rows[k]) {
			return
		}
	}
}

// Set implements state.Writer.
func (r *Rows) Set(key, value []byte) {
	if r.rows == nil {
		r.rows = map[string][]byte{}
	}
	r.rows[string(key)], r.sorted = slices.Clone(value), nil
}

// Delete implements state.Writer.
func (r *Rows) Delete(key []byte) {
	delete(r.rows, string(key))
	r.sorted = nil
}

// DeleteRange implements state.Writer.
func (r *Rows) DeleteRange(lo, hi []byte) {
	maps.DeleteFunc(r.rows, func(k string, _ []byte) bool { return k >= string(lo) && k < string(hi) })
	r.sorted = nil
}
