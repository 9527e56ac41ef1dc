// Package keys is how the keys of the states are made.
package keys

import "encoding/binary"

// Keys begin with the shard and a kind, so that a shard is one range, as it is in
// the log (package raftlog):
//
//	+-------+------+------+
//	| shard | kind | name |
//	| 2 BE  | 1    |      |
//	+-------+------+------+
//
// Kinds are never given a second meaning. What a state replicates lies in one
// kind of its own, so that the node's keys stay out of digests and streams.
const (
	Local  byte = 1 // the node's own
	Shared byte = 2 // replicated

	// PrefixLen is the length of shard and kind.
	PrefixLen = 3
)

// Append appends the key of a name.
func Append(b []byte, shard uint16, kind byte, name []byte) []byte {
	b = append(binary.BigEndian.AppendUint16(b, shard), kind)
	return append(b, name...)
}

// Name is the key of a name.
func Name(shard uint16, kind byte, name []byte) []byte {
	return Append(make([]byte, 0, PrefixLen+len(name)), shard, kind, name)
}

// ShardOf is the shard of a key.
func ShardOf(key []byte) uint16 { return binary.BigEndian.Uint16(key) }

// Bounds is the range of the kind from lo, included, to hi, excluded; nil
// stands for the beginning and the end of the kind.
func Bounds(shard uint16, kind byte, lo, hi []byte) (from, to []byte) {
	from = Name(shard, kind, lo)
	if hi == nil {
		return from, Name(shard, kind+1, nil)
	}
	return from, Name(shard, kind, hi)
}

// Span is the range of everything of a shard, in both Pebbles.
func Span(shard uint16) (from, to []byte) {
	from = binary.BigEndian.AppendUint16(nil, shard)
	if shard == 1<<16-1 {
		return from, []byte{0xff, 0xff, 0xff}
	}
	return from, binary.BigEndian.AppendUint16(nil, shard+1)
}
