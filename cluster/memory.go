package cluster

import (
	"errors"
	"maps"
	"slices"
	"sync"
)

// ErrDiskFull: a live replica of the shard is below its floor of free disk.
var ErrDiskFull = errors.New("a replica's disk is full")

// memShard is the stand-in's shard.
type memShard struct {
	mu      sync.Mutex
	machine Machine
	index   uint64
	data    map[string][]byte
}

func (s *memShard) snapshot() *memShard {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &memShard{data: maps.Clone(s.data)}
}

func (s *memShard) Get(key []byte) ([]byte, bool) {
	v, ok := s.data[string(key)]
	return slices.Clone(v), ok
}

func (s *memShard) Scan(lo, hi []byte, f func(key, value []byte) bool) {
	for _, k := range slices.Sorted(maps.Keys(s.data)) {
		if k < string(lo) || (hi != nil && k >= string(hi)) {
			continue
		}
		v, ok := s.data[k]
		if ok && !f([]byte(k), v) {
			return
		}
	}
}

func (s *memShard) Set(key, value []byte) { s.data[string(key)] = slices.Clone(value) }

func (s *memShard) Delete(key []byte) { delete(s.data, string(key)) }

func (s *memShard) DeleteRange(lo, hi []byte) {
	maps.DeleteFunc(s.data, func(k string, _ []byte) bool { return k >= string(lo) && k < string(hi) })
}
