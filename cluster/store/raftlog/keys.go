package raftlog

import "encoding/binary"

// Keys of the log begin with the shard and a kind, so that a shard is one range:
//
//	+-------+------+------------------------------------------+
//	| shard | kind | entry, size: index 8 BE;  others: name    |
//	| 2 BE  | 1    |                                           |
//	+-------+------+------------------------------------------+
//
// Kinds are never given a second meaning.
const (
	kindEntry  byte = 1
	kindStable byte = 2 // raft's stable store
	kindSize   byte = 3 // bytes of all entries up to the index
	kindGuard  byte = 4 // the shard has a mark
	kindBallot byte = 5 // how often the stable store was written, 8 BE

	prefixLen = 3
	indexLen  = prefixLen + 8
)

// nameKey is the key of a name.
func nameKey(shard uint16, kind byte, name []byte) []byte {
	b := append(binary.BigEndian.AppendUint16(nil, shard), kind)
	return append(b, name...)
}

// indexKey is the key of an index.
func indexKey(shard uint16, kind byte, index uint64) []byte {
	b := make([]byte, indexLen)
	putIndexKey(b, shard, kind, index)
	return b
}

// putIndexKey writes the key of an index into b, which is indexLen long.
func putIndexKey(b []byte, shard uint16, kind byte, index uint64) {
	binary.BigEndian.PutUint16(b, shard)
	b[2] = kind
	binary.BigEndian.PutUint64(b[prefixLen:], index)
}

// keyIndex is the index in a key.
func keyIndex(key []byte) uint64 { return binary.BigEndian.Uint64(key[prefixLen:]) }

// bounds is the range of a kind.
func bounds(shard uint16, kind byte) (from, to []byte) {
	return nameKey(shard, kind, nil), nameKey(shard, kind+1, nil)
}
