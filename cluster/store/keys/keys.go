// Package keys is how the keys of both Pebbles are made.
package keys

import "encoding/binary"

// Keys begin with the shard and a kind, so that a shard is one range of both
// Pebbles:
//
//	+-------+------+------------------------------------------+
//	| shard | kind | entry, size: index 8 BE;  others: name    |
//	| 2 BE  | 1    |                                           |
//	+-------+------+------------------------------------------+
//
// Kinds are never given a second meaning. What a state replicates lies in one
// kind of its own, so that the node's keys stay out of digests and streams.
const (
	// Kinds of the log, then of the state.
	Entry  byte = 1 // log: an entry
	Stable byte = 2 // log: raft's stable store
	Size   byte = 3 // log: bytes of all entries up to the index
	Guard  byte = 4 // log: the shard has a mark
	Ballot byte = 5 // log: how often the stable store was written, 8 BE
	Local  byte = 1 // state: the node's own
	Shared byte = 2 // state: replicated

	// PrefixLen is the length of shard and kind, IndexLen that of the key of an
	// index.
	PrefixLen = 3
	IndexLen  = PrefixLen + 8
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

// Index is the key of an index.
func Index(shard uint16, kind byte, index uint64) []byte {
	b := make([]byte, IndexLen)
	PutIndex(b, shard, kind, index)
	return b
}

// PutIndex writes the key of an index into b, which is IndexLen long.
func PutIndex(b []byte, shard uint16, kind byte, index uint64) {
	binary.BigEndian.PutUint16(b, shard)
	b[2] = kind
	binary.BigEndian.PutUint64(b[PrefixLen:], index)
}

// ShardOf is the shard of a key.
func ShardOf(key []byte) uint16 { return binary.BigEndian.Uint16(key) }

// IndexOf is the index in an Index.
func IndexOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[PrefixLen:]) }

// Bounds is the range of the kind from lo, included, to hi, excluded; nil
// stands for the beginning and the end of the kind.
func Bounds(shard uint16, kind byte, lo, hi []byte) (from, to []byte) {
	from = Name(shard, kind, lo)
	if hi == nil {
		return from, Name(shard, kind+1, nil)
	}
	return from, Name(shard, kind, hi)
}

// Span is the range of everything of a shard.
func Span(shard uint16) (from, to []byte) {
	from = binary.BigEndian.AppendUint16(nil, shard)
	if shard == 1<<16-1 {
		return from, []byte{0xff, 0xff, 0xff}
	}
	return from, binary.BigEndian.AppendUint16(nil, shard+1)
}
