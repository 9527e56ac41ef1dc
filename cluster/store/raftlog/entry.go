package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// An entry's value in the log. Its index is in the key.
//
//	+---------+------+----------+-------------+-----------+-----+------+
//	| version | type | term     | appended at | extension | ext | data |
//	| 1       | 1    | 8 BE     | 8 BE, ns    | uvarint   | ... | ...  |
//	+---------+------+----------+-------------+-----------+-----+------+
//
// version is the first byte for ever and 1 here; type is raft.LogType; appended
// at counts from 1970 and is 0 where the entry has no such time; extension is
// the length of ext; data is the rest. Blocks and WAL carry their own checksums.
const (
	version = 1
	fixed   = 1 + 1 + 8 + 8
)

// ErrDecode: the bytes are not an entry, or a newer program wrote them.
var ErrDecode = errors.New("log entry cannot be decoded")

// sizeOf is the length of the encoded entry.
func sizeOf(l *raft.Log) int {
	return fixed + uvarintLen(uint64(len(l.Extensions))) + len(l.Extensions) + len(l.Data)
}

// put encodes the entry into b, which is sizeOf long.
func put(b []byte, l *raft.Log) {
	b[0], b[1] = version, byte(l.Type)
	binary.BigEndian.PutUint64(b[2:], l.Term)
	var at int64
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	binary.BigEndian.PutUint64(b[10:], uint64(at))
	n := fixed + binary.PutUvarint(b[fixed:], uint64(len(l.Extensions)))
	n += copy(b[n:], l.Extensions)
	copy(b[n:], l.Data)
}

// decode fills the entry with copies of what is in b.
func decode(b []byte, index uint64, l *raft.Log) error {
	if len(b) < fixed {
		return fmt.Errorf("%w: entry %d has %d bytes", ErrDecode, index, len(b))
	}
	if b[0] != version {
		return fmt.Errorf("%w: entry %d has version %d; a newer program wrote it", ErrDecode, index, b[0])
	}
	ext, n := binary.Uvarint(b[fixed:])
	if n <= 0 || ext > uint64(len(b)-fixed-n) {
		return fmt.Errorf("%w: entry %d is cut short", ErrDecode, index)
	}
	rest := append([]byte(nil), b[fixed+n:]...)
	*l = raft.Log{
		Index: index,
		Term:  binary.BigEndian.Uint64(b[2:]),
		Type:  raft.LogType(b[1]),
		Data:  rest[ext:],
	}
	if ext > 0 {
		l.Extensions = rest[:ext:ext]
	}
	if at := int64(binary.BigEndian.Uint64(b[10:])); at != 0 {
		l.AppendedAt = time.Unix(0, at).UTC()
	}
	return nil
}

// uvarintLen is the length of the number as a uvarint.
func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}
