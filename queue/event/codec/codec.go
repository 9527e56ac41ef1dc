package codec

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed is what Decode's errors wrap: the bytes are not the encoding of
// any value.
var ErrMalformed = errors.New("malformed encoding")

// Number is a field's number, from 1. It is never reused for another meaning.
type Number = protowire.Number

// Fields is a struct being written or read, field by field. Its methods must
// be called in ascending order of field numbers. When reading, a method leaves
// the variable alone if the field is absent, and all do nothing after the
// first error.
type Fields struct {
	// b is what was written so far, or what is still to be read.
	b       []byte
	reading bool
	err     error
	// all is the whole input, of which b always keeps the capacity: so it is known
	// where it stands. text is a piece of it, from the offset from on, that the
	// strings which are read share.
	all  []byte
	text string
	from int
}

// textRoom is how much of the input becomes strings at once, in bytes: about a
// message's envelope.
const textRoom = 512

// putRoom is the most memory that Clear keeps, in bytes.
const putRoom = 64 << 10

// Append appends the encoding of v to b.
func Append[T any](b []byte, v *T, describe func(*Fields, *T)) []byte {
	f := Fields{b: b}
	describe(&f, v)
	return f.b
}

// Decode reads v, which must be zero, from the whole of b. Only what was read
// with Bytes shares memory with b. Errors wrap ErrMalformed or what Refuse was
// given.
func Decode[T any](b []byte, v *T, describe func(*Fields, *T)) error {
	f := Fields{b: b, all: b, reading: true}
	describe(&f, v)
	f.end()
	return f.err
}

// Put is Append for who writes often: v is written behind what was put into f
// since it was cleared. The result stays as it is until Clear. The zero Fields
// are ready for Put or for Get, not for both.
func Put[T any](f *Fields, v *T, describe func(*Fields, *T)) []byte {
	start := len(f.b)
	describe(f, v)
	return f.b[start:len(f.b):len(f.b)]
}

// Clear lets the memory of all that was put into f be used again, unless it is
// a lot.
func (f *Fields) Clear() {
	if cap(f.b) > putRoom {
		f.b = nil
	}
	f.b = f.b[:0]
}

// Get is Decode for who reads often.
func Get[T any](f *Fields, b []byte, v *T, describe func(*Fields, *T)) error {
	*f = Fields{b: b, all: b, reading: true}
	describe(f, v)
	f.end()
	return f.err
}

// Reading reports whether fields are read; otherwise they are written.
func (f *Fields) Reading() bool { return f.reading }

// Next is the number of the field that is read next, 0 at the end.
func (f *Fields) Next() Number {
	if f.err != nil || len(f.b) == 0 {
		return 0
	}
	n, _, size := protowire.ConsumeTag(f.b)
	if size < 0 {
		return 0
	}
	return n
}

// Refuse ends the reading with an error, of which the first one counts.
func (f *Fields) Refuse(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *Fields) malformed(n Number, what string) {
	f.Refuse(fmt.Errorf("field %d: %s: %w", n, what, ErrMalformed))
}

// end checks that nothing is left to read.
func (f *Fields) end() {
	if f.err != nil || len(f.b) == 0 {
		return
	}
	if n := f.Next(); n != 0 {
		f.malformed(n, "unknown, repeated or out of order")
		return
	}
	f.Refuse(fmt.Errorf("a tag is damaged: %w", ErrMalformed))
}

// tag consumes field n's tag if it is the next one.
func (f *Fields) tag(n Number, want protowire.Type) bool {
	if f.err != nil || len(f.b) == 0 {
		return false
	}
	got, kind, size := protowire.ConsumeTag(f.b)
	if size < 0 || got != n {
		return false
	}
	if size != protowire.SizeTag(n) || kind != want {
		f.malformed(n, "wrong type")
		return false
	}
	f.b = f.b[size:]
	return true
}

// varint reads or writes a number; zero is absent.
func (f *Fields) varint(n Number, v uint64) uint64 {
	if !f.reading {
		if v != 0 {
			f.b = protowire.AppendTag(f.b, n, protowire.VarintType)
			f.b = protowire.AppendVarint(f.b, v)
		}
		return v
	}
	if !f.tag(n, protowire.VarintType) {
		return 0
	}
	v = f.readVarint(n)
	if v == 0 {
		f.malformed(n, "zero")
	}
	return v
}

func (f *Fields) readVarint(n Number) uint64 {
	v, size := protowire.ConsumeVarint(f.b)
	if size < 0 || size != protowire.SizeVarint(v) {
		f.malformed(n, "no varint")
		return 0
	}
	f.b = f.b[size:]
	return v
}

// take consumes length and bytes of a field whose tag was consumed. The length
// is checked against what is there before anything is allocated.
func (f *Fields) take(n Number) []byte {
	size := f.readVarint(n)
	if f.err != nil {
		return nil
	}
	if size > uint64(len(f.b)) {
		f.malformed(n, "cut short")
		return nil
	}
	v := f.b[:size]
	f.b = f.b[size:]
	return v
}

// keep makes a string of a part of the input.
func (f *Fields) keep(part []byte) string {
	at := cap(f.all) - cap(part)
	end := at + len(part)
	if at < f.from || end > f.from+len(f.text) {
		f.from, f.text = at, string(f.all[at:max(end, min(at+textRoom, len(f.all)))])
	}
	return f.text[at-f.from : end-f.from]
}

// open begins a field whose length is not known yet; shut fills it in.
func (f *Fields) open(n Number) int {
	f.b = protowire.AppendTag(f.b, n, protowire.BytesType)
	return len(f.b)
}

// shut puts the length before what was written since start.
func (f *Fields) shut(start int) {
	var length [10]byte
	size := len(f.b) - start
	prefix := protowire.AppendVarint(length[:0], uint64(size))
	f.b = append(f.b, prefix...)
	copy(f.b[start+len(prefix):], f.b[start:start+size])
	copy(f.b[start:], prefix)
}
