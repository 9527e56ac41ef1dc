package store

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
	kindEntry  byte = 1 // log: an entry
	kindStable byte = 2 // log: raft's stable store
	kindSize   byte = 3 // log: bytes of all entries up to the index
	kindGuard  byte = 4 // log: the shard has a mark
	kindLocal  byte = 1 // state: the node's own
	kindShared byte = 2 // state: replicated

	prefixLen   = 3
	indexKeyLen = prefixLen + 8
)

// appendKey appends the key of a name.
func appendKey(b []byte, shard uint16, kind byte, name []byte) []byte {
	b = append(binary.BigEndian.AppendUint16(b, shard), kind)
	return append(b, name...)
}

// nameKey is the key of a name.
func nameKey(shard uint16, kind byte, name []byte) []byte {
	return appendKey(make([]byte, 0, prefixLen+len(name)), shard, kind, name)
}

// indexKey is the key of an index.
func indexKey(shard uint16, kind byte, index uint64) []byte {
	b := make([]byte, indexKeyLen)
	putIndexKey(b, shard, kind, index)
	return b
}

// putIndexKey writes the key of an index into b, which is indexKeyLen long.
func putIndexKey(b []byte, shard uint16, kind byte, index uint64) {
	binary.BigEndian.PutUint16(b, shard)
	b[2] = kind
	binary.BigEndian.PutUint64(b[prefixLen:], index)
}

// keyIndex is the index in an indexKey.
func keyIndex(key []byte) uint64 { return binary.BigEndian.Uint64(key[prefixLen:]) }

// bounds is the range of the kind from lo, included, to hi, excluded; nil
// stands for the beginning and the end of the kind.
func bounds(shard uint16, kind byte, lo, hi []byte) (from, to []byte) {
	from = nameKey(shard, kind, lo)
	if hi == nil {
		return from, nameKey(shard, kind+1, nil)
	}
	return from, nameKey(shard, kind, hi)
}
