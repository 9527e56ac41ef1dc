package state

import (
	"bytes"
	"maps"
	"slices"
)

// mapStore is a Reader and Writer in memory.
type mapStore map[string][]byte

func (s mapStore) Get(key []byte) ([]byte, bool) {
	v, ok := s[string(key)]
	return slices.Clone(v), ok
}

// Scan hands out keys and values that are overwritten afterwards, as a store
// may do.
func (s mapStore) Scan(lo, hi []byte, f func(key, value []byte) bool) {
	for _, k := range slices.Sorted(maps.Keys(s)) {
		if k < string(lo) || (hi != nil && k >= string(hi)) {
			continue
		}
		key, value := []byte(k), slices.Clone(s[k])
		more := f(key, value)
		for i := range key {
			key[i] = 0xff
		}
		for i := range value {
			value[i] = 0xff
		}
		if !more {
			return
		}
	}
}

func (s mapStore) Set(key, value []byte) { s[string(key)] = slices.Clone(value) }

func (s mapStore) Delete(key []byte) { delete(s, string(key)) }

func (s mapStore) DeleteRange(lo, hi []byte) {
	maps.DeleteFunc(s, func(k string, _ []byte) bool { return k >= string(lo) && k < string(hi) })
}

func (s mapStore) equal(o mapStore) bool {
	return maps.EqualFunc(s, o, bytes.Equal)
}
