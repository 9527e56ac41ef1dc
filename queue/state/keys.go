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
//	r id chunk(4)        recipients of an open message, 16 a row, from chunk 1
//	s id                 status of an open message, with the first 16 recipients
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
	prefixChunk   = 'r'
	prefixStatus  = 's'
	prefixUpload  = 'u'
	prefixClosed  = 'x'
)

const (
	idLength  = 20
	dayLength = 24 * time.Hour
)

func shardKey() []byte { return []byte{prefixShard} }

func idKey(prefix byte, id mail.MessageID) []byte {
	k := make([]byte, 0, 1+idLength)
	return append(append(k, prefix), id...)
}

// numberedKey is the key of the n-th thing of a message.
func numberedKey(prefix byte, id mail.MessageID, n uint32) []byte {
	k := make([]byte, 0, 1+idLength+4)
	k = append(append(k, prefix), id...)
	return binary.BigEndian.AppendUint32(k, n)
}

// dueIndex is the prefix of the due index of an era; 0 is that of the messages
// that are not free in any.
func dueIndex(era uint32) []byte {
	k := make([]byte, 0, 1+4+8+idLength)
	if era == 0 {
		return append(k, prefixDue)
	}
	return binary.BigEndian.AppendUint32(append(k, prefixFree), era)
}

func dueKey(era uint32, due time.Time, id mail.MessageID) []byte {
	k := binary.BigEndian.AppendUint64(dueIndex(era), uint64(max(due.UnixMilli(), 0)))
	return append(k, id...)
}

// parseDueKey reads what follows the index's prefix.
func parseDueKey(k []byte) DueRow {
	k = k[len(k)-8-idLength:]
	ms := binary.BigEndian.Uint64(k)
	return DueRow{Due: time.UnixMilli(int64(ms)).UTC(), ID: mail.MessageID(k[8:])}
}

func closedKey(day uint32, id mail.MessageID) []byte {
	k := make([]byte, 0, 1+4+idLength)
	k = binary.BigEndian.AppendUint32(append(k, prefixClosed), day)
	return append(k, id...)
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
