package codec

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxMillis bounds times: the 48 bits that message ids have for them.
const maxMillis = 1<<48 - 1

// Uint64 is a varint.
func (f *Fields) Uint64(n Number, v *uint64) {
	if x := f.varint(n, *v); f.reading {
		*v = x
	}
}

// Uint32 is a varint of at most 32 bits.
func (f *Fields) Uint32(n Number, v *uint32) {
	x := f.varint(n, uint64(*v))
	if x > math.MaxUint32 {
		f.malformed(n, "more than 32 bits")
		return
	}
	*v = uint32(x)
}

// Int64 is a varint in two's complement.
func (f *Fields) Int64(n Number, v *int64) { *v = int64(f.varint(n, uint64(*v))) }

// Int is an Int64.
func (f *Fields) Int(n Number, v *int) { *v = int(f.varint(n, uint64(*v))) }

// Byte is a varint of at most 8 bits.
func (f *Fields) Byte(n Number, v *byte) { Enum(f, n, v, math.MaxUint8) }

// Bool is a varint of 1, or absent.
func (f *Fields) Bool(n Number, v *bool) {
	var x byte
	if *v {
		x = 1
	}
	Enum(f, n, &x, 1)
	*v = x == 1
}

// Fixed64 is eight bytes: for numbers without a preference for small ones.
func (f *Fields) Fixed64(n Number, v *uint64) {
	if !f.reading {
		if *v != 0 {
			f.b = protowire.AppendTag(f.b, n, protowire.Fixed64Type)
			f.b = protowire.AppendFixed64(f.b, *v)
		}
		return
	}
	if !f.tag(n, protowire.Fixed64Type) {
		return
	}
	x, size := protowire.ConsumeFixed64(f.b)
	if size < 0 || x == 0 {
		f.malformed(n, "zero or cut short")
		return
	}
	*v, f.b = x, f.b[size:]
}

// Time is a varint of milliseconds since 1970; the zero time is absent, and so
// are times that are not after 1970. It is read in UTC.
func (f *Fields) Time(n Number, v *time.Time) {
	ms := uint64(min(max(v.UnixMilli(), 0), maxMillis))
	ms = f.varint(n, ms)
	switch {
	case !f.reading || ms == 0:
	case ms > maxMillis:
		f.malformed(n, "time out of range")
	default:
		*v = time.UnixMilli(int64(ms)).UTC()
	}
}

// Duration is an Int64 of nanoseconds.
func (f *Fields) Duration(n Number, v *time.Duration) {
	*v = time.Duration(f.varint(n, uint64(*v)))
}

// Bytes is a slice; when read, it is a slice of the input.
func (f *Fields) Bytes(n Number, v *[]byte) {
	if !f.reading {
		if len(*v) != 0 {
			f.b = protowire.AppendTag(f.b, n, protowire.BytesType)
			f.b = protowire.AppendBytes(f.b, *v)
		}
		return
	}
	if b := f.bytes(n); b != nil {
		*v = b[:len(b):len(b)]
	}
}

// bytes reads bytes, of which there must be some; nil if they are absent.
func (f *Fields) bytes(n Number) []byte {
	if !f.tag(n, protowire.BytesType) {
		return nil
	}
	b := f.take(n)
	if len(b) == 0 {
		f.malformed(n, "empty")
		return nil
	}
	return b
}

// Array is a byte array of fixed length, given as the slice of the whole; an
// array of zeros is absent.
func (f *Fields) Array(n Number, array []byte) {
	if !f.reading {
		if !allZero(array) {
			f.b = protowire.AppendTag(f.b, n, protowire.BytesType)
			f.b = protowire.AppendBytes(f.b, array)
		}
		return
	}
	v := f.bytes(n)
	if v == nil {
		return
	}
	if len(v) != len(array) || allZero(v) {
		f.malformed(n, fmt.Sprintf("not %d bytes, or zeros", len(array)))
		return
	}
	copy(array, v)
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Uint32s are packed varints.
func (f *Fields) Uint32s(n Number, v *[]uint32) {
	if !f.reading {
		if len(*v) == 0 {
			return
		}
		start := f.open(n)
		for _, x := range *v {
			f.b = protowire.AppendVarint(f.b, uint64(x))
		}
		f.shut(start)
		return
	}
	packed := f.bytes(n)
	if packed == nil {
		return
	}
	*v = make([]uint32, 0, numbers(packed))
	rest := f.b
	f.b = packed
	for len(f.b) > 0 && f.err == nil {
		x := f.readVarint(n)
		if x > math.MaxUint32 {
			f.malformed(n, "more than 32 bits")
		}
		*v = append(*v, uint32(x))
	}
	f.b = rest
}

// numbers counts the varints: one ends where the highest bit is not set.
func numbers(packed []byte) int {
	n := 0
	for _, c := range packed {
		if c < 0x80 {
			n++
		}
	}
	return n
}

// String is a string of any bytes, UTF-8 or not.
func String[T ~string](f *Fields, n Number, v *T) {
	if !f.reading {
		if len(*v) != 0 {
			f.b = protowire.AppendTag(f.b, n, protowire.BytesType)
			f.b = protowire.AppendString(f.b, string(*v))
		}
		return
	}
	if b := f.bytes(n); b != nil {
		*v = T(f.keep(b))
	}
}

// Strings is a list of strings or byte slices, empty ones included. It copies.
func Strings[T ~string | ~[]byte](f *Fields, n Number, v *[]T) {
	if !f.reading {
		for _, s := range *v {
			f.b = protowire.AppendTag(f.b, n, protowire.BytesType)
			f.b = protowire.AppendVarint(f.b, uint64(len(s)))
			f.b = append(f.b, s...)
		}
		return
	}
	if ahead := f.ahead(n); ahead > 0 {
		*v = make([]T, 0, ahead)
	}
	for f.tag(n, protowire.BytesType) {
		if s := f.take(n); f.err == nil {
			*v = append(*v, T(string(s)))
		}
	}
}

// Enum is a varint of at most limit, which is the largest value known.
func Enum[T ~uint8](f *Fields, n Number, v *T, limit T) {
	x := f.varint(n, uint64(*v))
	if f.reading && x > uint64(limit) {
		f.malformed(n, "unknown value")
		return
	}
	*v = T(x)
}

// Message is a struct within the struct; one without any field is absent.
func Message[T any](f *Fields, n Number, v *T, describe func(*Fields, *T)) {
	if f.reading {
		if !f.tag(n, protowire.BytesType) {
			return
		}
		body := f.take(n)
		if f.err == nil && len(body) == 0 {
			f.malformed(n, "empty")
		}
		f.inside(n, body, func(sub *Fields) { describe(sub, v) })
		return
	}
	before := len(f.b)
	start := f.open(n)
	describe(f, v)
	if len(f.b) == start {
		f.b = f.b[:before]
		return
	}
	f.shut(start)
}

// Always is a Message that is written even if it has no field: its number
// alone says something. It reports whether the field was there.
func (f *Fields) Always(n Number, describe func(*Fields)) bool {
	if f.reading {
		if !f.tag(n, protowire.BytesType) {
			return false
		}
		f.inside(n, f.take(n), describe)
		return true
	}
	start := f.open(n)
	describe(f)
	f.shut(start)
	return true
}

// List is a list of structs, those without any field included.
func List[T any](f *Fields, n Number, v *[]T, describe func(*Fields, *T)) {
	if f.reading {
		if ahead := f.ahead(n); ahead > 0 {
			*v = make([]T, 0, ahead)
		}
		for f.tag(n, protowire.BytesType) {
			body := f.take(n)
			var zero T
			*v = append(*v, zero)
			one := &(*v)[len(*v)-1]
			f.inside(n, body, func(sub *Fields) { describe(sub, one) })
		}
		return
	}
	for i := range *v {
		start := f.open(n)
		describe(f, &(*v)[i])
		f.shut(start)
	}
}

// ahead counts the fields n of bytes that come next, as far as they are whole.
func (f *Fields) ahead(n Number) int {
	if f.err != nil {
		return 0
	}
	count := 0
	for rest := f.b; len(rest) > 0; count++ {
		got, kind, tag := protowire.ConsumeTag(rest)
		if tag < 0 || got != n || kind != protowire.BytesType {
			break
		}
		_, body := protowire.ConsumeBytes(rest[tag:])
		if body < 0 {
			break
		}
		rest = rest[tag+body:]
	}
	return count
}

// inside reads the struct that is the body of field n.
func (f *Fields) inside(n Number, body []byte, describe func(*Fields)) {
	if f.err != nil {
		return
	}
	rest := f.b
	f.b = body
	describe(f)
	f.end()
	f.b = rest
	if f.err != nil {
		f.err = fmt.Errorf("field %d: %w", n, f.err)
	}
}
