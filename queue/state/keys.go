package state

import (
	"encoding/binary"
	"time"

	"quorumta/internal/mail"
)

// The key space of a shard. Numbers are big-endian, so that keys sort as what
// they stand for; ids are their 20 characters.
//
//	a                    counters, newest time, days with closed history
//	c id part(4)         content of an upload or of an open message
//	d due-ms(8) id       due index, no value
//	e era(4) due-ms(8) id  due index of the messages that are free in the era
//	h id record(4)       history of an open message, from record 1
//	k id number(4)       attempt under way
//	m id                 record 0 of an open message: its Accepted, no content
//	q id section(4)      summaries of 16 chunks of recipients, from section 0
//	r id chunk(4)        16 recipients of an open message, from chunk 0
//	s id                 status of an open message, with its recipients up to 16
//	u id                 upload
//	x day(4) id          closed history: all records of a message
//
// What a prefix stands for and how its key is built may never change; rows are
// described in rows.go.
const (
	prefixShard   = 'a'
	prefixContent = 'c'
	prefixDue     = 'd'
	prefixFree    = 'e'
	prefixHistory = 'h'
	prefixClaim   = 'k'
	prefixMessage = 'm'
	prefixSection = 'q'
	prefixChunk   = 'r'
	prefixStatus  = 's'
	prefixUpload  = 'u'
	prefixClosed  = 'x'
)

const (
	idLength  = 20
	dayLength = 24 * time.Hour
)

// keyLength is the length of the longest key.
const keyLength = 1 + 4 + 8 + idLength

// keys builds keys, each in the place of the one before.
type keys struct{ b [keyLength]byte }

func (k *keys) shard() []byte { return append(k.b[:0], prefixShard) }

func (k *keys) id(prefix byte, id mail.MessageID) []byte {
	return append(append(k.b[:0], prefix), id...)
}

// numbered is the key of the n-th thing of a message.
func (k *keys) numbered(prefix byte, id mail.MessageID, n uint32) []byte {
	return binary.BigEndian.AppendUint32(k.id(prefix, id), n)
}

// record is the key of the n-th record of an open message.
func (k *keys) record(id mail.MessageID, n uint32) []byte {
	if n == 0 {
		return k.id(prefixMessage, id)
	}
	return k.numbered(prefixHistory, id, n)
}

// index is the prefix of the due index of an era; 0 is that of the messages
// that are not free in any.
func (k *keys) index(era uint32) []byte {
	if era == 0 {
		return append(k.b[:0], prefixDue)
	}
	return binary.BigEndian.AppendUint32(append(k.b[:0], prefixFree), era)
}

func (k *keys) due(era uint32, due time.Time, id mail.MessageID) []byte {
	b := binary.BigEndian.AppendUint64(k.index(era), uint64(max(due.UnixMilli(), 0)))
	return append(b, id...)
}

func (k *keys) closed(day uint32, id mail.MessageID) []byte {
	b := binary.BigEndian.AppendUint32(append(k.b[:0], prefixClosed), day)
	return append(b, id...)
}

// The functions below make a key that may be kept.

func shardKey() []byte { return new(keys).shard() }

func idKey(prefix byte, id mail.MessageID) []byte { return new(keys).id(prefix, id) }

func numberedKey(prefix byte, id mail.MessageID, n uint32) []byte {
	return new(keys).numbered(prefix, id, n)
}

func dueIndex(era uint32) []byte { return new(keys).index(era) }

func dueKey(era uint32, due time.Time, id mail.MessageID) []byte {
	return new(keys).due(era, due, id)
}

func closedKey(day uint32, id mail.MessageID) []byte { return new(keys).closed(day, id) }

// parseDueKey reads what follows the index's prefix.
func parseDueKey(k []byte) DueRow {
	k = k[len(k)-8-idLength:]
	ms := binary.BigEndian.Uint64(k)
	return DueRow{Due: time.UnixMilli(int64(ms)).UTC(), ID: mail.MessageID(k[8:])}
}

// after is the least key above k.
func after(k []byte) []byte { return append(k[:len(k):len(k)], 0) }

// dayOf is the number of t's day since 1970-01-01, UTC.
func dayOf(t time.Time) uint32 {
	return uint32(max(t.UnixMilli(), 0) / dayLength.Milliseconds())
}

// dayEnd is the first moment after the day.
func dayEnd(day uint32) time.Time {
	return time.UnixMilli((int64(day) + 1) * dayLength.Milliseconds()).UTC()
}
