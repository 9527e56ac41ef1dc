// Package keys is the key space of a shard: what prefixes stand for, and how keys
// are built.
package keys

import (
	"encoding/binary"
	"time"

	"quorumta/internal/mail"
)

// The prefixes of a shard's key space. Numbers are big-endian, so that keys sort as what
// they stand for; ids are their 20 characters.
//
//	a                    counters, newest time, days with closed history
//	c id part(4)         content of an upload or of an open message
//	d due-ms(8) id       due index, no value
//	e era(4) due-ms(8) id  due index of the messages that are free in the era
//	h id record(4)       history of an open message, from record 1
//	k id number(4)       attempt under way
//	m id                 record 0 of an open message: its Accepted, no content
//	n                    what the notes take together
//	n key                note (package notes)
//	q id section(4)      summaries of 16 chunks of recipients, from section 0
//	r id chunk(4)        16 recipients of an open message, from chunk 0
//	s id                 status of an open message, with its recipients up to 16
//	u id                 upload
//	x day(4) id          closed history: all records of a message
//
// What a prefix stands for and how its key is built may never change; rows are
// described in package state.
const (
	shard   = 'a'
	Content = 'c'
	Due     = 'd'
	Free    = 'e'
	History = 'h'
	Claim   = 'k'
	Message = 'm'
	Note    = 'n'
	Section = 'q'
	Chunk   = 'r'
	Status  = 's'
	Upload  = 'u'
	Closed  = 'x'
)

// IDLength is the length of a message's id in a key, in bytes.
const IDLength = 20

const dayLength = 24 * time.Hour

// keyLength is the length of the longest key.
const keyLength = 1 + 4 + 8 + IDLength

// Buffer builds keys, each in the place of the one before.
type Buffer struct{ b [keyLength]byte }

// Shard is the key of the row about the shard.
func (k *Buffer) Shard() []byte { return append(k.b[:0], shard) }

// ID is the key of what a message has one of.
func (k *Buffer) ID(prefix byte, id mail.MessageID) []byte {
	return append(append(k.b[:0], prefix), id...)
}

// Numbered is the key of the n-th thing of a message.
func (k *Buffer) Numbered(prefix byte, id mail.MessageID, n uint32) []byte {
	return binary.BigEndian.AppendUint32(k.ID(prefix, id), n)
}

// Record is the key of the n-th record of an open message.
func (k *Buffer) Record(id mail.MessageID, n uint32) []byte {
	if n == 0 {
		return k.ID(Message, id)
	}
	return k.Numbered(History, id, n)
}

// Index is the prefix of the due index of an era; 0 is that of the messages
// that are not free in any.
func (k *Buffer) Index(era uint32) []byte {
	if era == 0 {
		return append(k.b[:0], Due)
	}
	return binary.BigEndian.AppendUint32(append(k.b[:0], Free), era)
}

// Due is the key of a message in the due index of an era.
func (k *Buffer) Due(era uint32, due time.Time, id mail.MessageID) []byte {
	b := binary.BigEndian.AppendUint64(k.Index(era), uint64(max(due.UnixMilli(), 0)))
	return append(b, id...)
}

// Closed is the key of the history of a message that ended on the day.
func (k *Buffer) Closed(day uint32, id mail.MessageID) []byte {
	b := binary.BigEndian.AppendUint32(append(k.b[:0], Closed), day)
	return append(b, id...)
}

// ShardKey is Buffer.Shard, to be kept.
func ShardKey() []byte { return new(Buffer).Shard() }

// IDKey is Buffer.ID, to be kept.
func IDKey(prefix byte, id mail.MessageID) []byte { return new(Buffer).ID(prefix, id) }

// NumberedKey is Buffer.Numbered, to be kept.
func NumberedKey(prefix byte, id mail.MessageID, n uint32) []byte {
	return new(Buffer).Numbered(prefix, id, n)
}

// DueIndex is Buffer.Index, to be kept.
func DueIndex(era uint32) []byte { return new(Buffer).Index(era) }

// DueKey is Buffer.Due, to be kept.
func DueKey(era uint32, due time.Time, id mail.MessageID) []byte {
	return new(Buffer).Due(era, due, id)
}

// ClosedKey is Buffer.Closed, to be kept.
func ClosedKey(day uint32, id mail.MessageID) []byte { return new(Buffer).Closed(day, id) }

// ParseDue reads the time and the id of a key of a due index.
func ParseDue(k []byte) (due time.Time, id mail.MessageID) {
	k = k[len(k)-8-IDLength:]
	ms := binary.BigEndian.Uint64(k)
	return time.UnixMilli(int64(ms)).UTC(), mail.MessageID(k[8:])
}

// After is the least key above k.
func After(k []byte) []byte { return append(k[:len(k):len(k)], 0) }

// DayOf is the number of t's day since 1970-01-01, UTC.
func DayOf(t time.Time) uint32 {
	return uint32(max(t.UnixMilli(), 0) / dayLength.Milliseconds())
}

// DayEnd is the first moment after the day.
func DayEnd(day uint32) time.Time {
	return time.UnixMilli((int64(day) + 1) * dayLength.Milliseconds()).UTC()
}
