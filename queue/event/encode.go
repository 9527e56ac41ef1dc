package event

import (
	"errors"
	"fmt"

	"quorumta/internal/mail"
	"quorumta/queue/event/codec"
)

// ErrUnknownKind is returned for an event of a later version of the format:
// the replica must stop and be upgraded, not skip it.
var ErrUnknownKind = errors.New("unknown kind of event: a newer version wrote it; upgrade this node")

// Append appends the entry's encoding to b (entry.proto draws it). Times keep
// their whole milliseconds since 1970; an empty list comes back as nil.
func Append(b []byte, e Entry) []byte {
	size := 64
	for _, g := range e.Groups {
		size += 64 + sizeHint(g)
	}
	if cap(b)-len(b) < size {
		b = append(make([]byte, 0, len(b)+size), b...)
	}
	return codec.Append(b, &e, describeEntry)
}

// sizeHint is about the room that a group takes: what matters is content.
func sizeHint(g Group) int {
	size := 0
	for _, e := range g.Events {
		switch e := e.(type) {
		case *BodyPart:
			size += len(e.Content)
		case *Accepted:
			size += len(e.Content) + 512
		case *Noted:
			size += len(e.Value) + 512
		default:
			size += 128
		}
	}
	return size
}

// Decode reads an encoded entry, and no other bytes than those that Append
// writes for it. Whatever is committed must be decoded by every replica, so
// limits are not checked here but by those who propose, and by the fold. The result shares no memory with b, except for the contents
// of BodyPart and Accepted, which are slices of b.
func Decode(b []byte) (Entry, error) {
	var e Entry
	if err := codec.Decode(b, &e, describeEntry); err != nil {
		return Entry{}, fmt.Errorf("decode entry: %w", err)
	}
	return e, nil
}

func describeEntry(f *codec.Fields, e *Entry) {
	f.Uint64(1, &e.Term)
	codec.List(f, 2, &e.Groups, describeGroup)
}

func describeGroup(f *codec.Fields, g *Group) {
	messageID(f, 1, &g.ID)
	f.Time(2, &g.At)
	codec.List(f, 3, &g.Events, Describe)
}

// Describe describes an event for the codec: one field, whose number is the
// event's kind.
func Describe(f *codec.Fields, e *Event) {
	if !f.Reading() {
		f.Always(codec.Number((*e).Kind()), (*e).fields)
		return
	}
	n := f.Next()
	if n <= 0 || int(n) >= len(kinds) || kinds[n].make == nil {
		f.Refuse(fmt.Errorf("event %d: %w", n, ErrUnknownKind))
		return
	}
	*e = kinds[n].make()
	f.Always(n, (*e).fields)
}

// messageID describes an id; only the canonical form is read.
func messageID(f *codec.Fields, n codec.Number, id *mail.MessageID) {
	codec.String(f, n, id)
	if !f.Reading() || *id == "" {
		return
	}
	if canonical, err := mail.ParseMessageID(string(*id)); err != nil || canonical != *id {
		f.Refuse(fmt.Errorf("field %d: %w: %w", n, codec.ErrMalformed, mail.ErrBadID))
	}
}

func messageIDs(f *codec.Fields, n codec.Number, ids *[]mail.MessageID) {
	codec.Strings(f, n, ids)
	if !f.Reading() {
		return
	}
	for _, id := range *ids {
		if canonical, err := mail.ParseMessageID(string(id)); err != nil || canonical != id {
			f.Refuse(fmt.Errorf("field %d: %w: %w", n, codec.ErrMalformed, mail.ErrBadID))
		}
	}
}
