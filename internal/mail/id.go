package mail

import (
	"errors"
	"log/slog"
	"strings"
	"time"
)

// MessageID names a message for ever: 20 lower-case Crockford characters.
//
//	48 bits  milliseconds since 1970, when the id was drawn
//	12 bits  shard, 1 to 4095
//	40 bits  random
//
// Most significant first, so that ids sort by time. The same string stands in
// "250 2.0.0 Ok: queued as", in Received, in logs, traces and "queue show".
// The layout may never change: ids outlive every version.
type MessageID string

const (
	crockford = "0123456789abcdefghjkmnpqrstvwxyz"
	idLength  = 20
)

// ErrBadID is returned for a string that is not a message id.
var ErrBadID = errors.New("not a message id: 20 characters of 0-9a-z without i, l, o, u are expected")

// NewMessageID makes the id of a message of the shard, drawn at the time now.
func NewMessageID(now time.Time, shard uint16, random [5]byte) MessageID {
	hi := uint64(now.UnixMilli())<<12 | uint64(shard&0xfff) // 60 bits: 12 characters
	var lo uint64                                           // 40 bits: 8 characters
	for _, b := range random {
		lo = lo<<8 | uint64(b)
	}
	var s [idLength]byte
	for i := range 12 {
		s[i] = crockford[hi>>(55-5*i)&31]
	}
	for i := range 8 {
		s[12+i] = crockford[lo>>(35-5*i)&31]
	}
	return MessageID(s[:])
}

// ParseMessageID accepts the string form of an id, in either case.
func ParseMessageID(s string) (MessageID, error) {
	if len(s) != idLength {
		return "", ErrBadID
	}
	canonical := true
	for i := range idLength {
		v := crockfordValues[s[i]]
		if v == 0 {
			return "", ErrBadID
		}
		canonical = canonical && s[i] == crockford[v-1]
	}
	if canonical {
		return MessageID(s), nil
	}
	return MessageID(strings.ToLower(s)), nil
}

// LogValue implements slog.LogValuer: an id is logged as a string.
func (id MessageID) LogValue() slog.Value { return slog.StringValue(string(id)) }

// Shard is the shard that the message belongs to; 0 if id is not valid.
func (id MessageID) Shard() uint16 { return uint16(id.high() & 0xfff) }

// Time is when the id was drawn, to the millisecond; the zero time if id is
// not valid.
func (id MessageID) Time() time.Time {
	hi := id.high()
	if hi == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(hi >> 12)).UTC()
}

// high is the first 60 bits.
func (id MessageID) high() uint64 {
	if len(id) != idLength {
		return 0
	}
	var hi uint64
	for i := range 12 {
		v := crockfordValues[id[i]]
		if v == 0 {
			return 0
		}
		hi = hi<<5 | uint64(v-1)
	}
	return hi
}

// crockfordValues are what characters stand for, in either case, plus one; 0:
// nothing.
var crockfordValues = [256]uint8{
	'0': 1, '1': 2, '2': 3, '3': 4, '4': 5, '5': 6, '6': 7, '7': 8, '8': 9, '9': 10,
	'a': 11, 'b': 12, 'c': 13, 'd': 14, 'e': 15, 'f': 16, 'g': 17, 'h': 18, 'j': 19, 'k': 20, 'm': 21,
	'n': 22, 'p': 23, 'q': 24, 'r': 25, 's': 26, 't': 27, 'v': 28, 'w': 29, 'x': 30, 'y': 31, 'z': 32,
	'A': 11, 'B': 12, 'C': 13, 'D': 14, 'E': 15, 'F': 16, 'G': 17, 'H': 18, 'J': 19, 'K': 20, 'M': 21,
	'N': 22, 'P': 23, 'Q': 24, 'R': 25, 'S': 26, 'T': 27, 'V': 28, 'W': 29, 'X': 30, 'Y': 31, 'Z': 32,
}
