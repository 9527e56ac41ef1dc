package mail

import (
	"errors"
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
	var out [idLength]byte
	for i := range idLength {
		v, ok := crockfordValue(s[i])
		if !ok {
			return "", ErrBadID
		}
		out[i] = crockford[v]
	}
	return MessageID(out[:]), nil
}

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
		v, ok := crockfordValue(id[i])
		if !ok {
			return 0
		}
		hi = hi<<5 | uint64(v)
	}
	return hi
}

func crockfordValue(c byte) (int, bool) {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0'), true
	case c >= 'A' && c <= 'Z':
		c += 'a' - 'A'
	}
	for i := 10; i < len(crockford); i++ {
		if crockford[i] == c {
			return i, true
		}
	}
	return 0, false
}
