package header

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// Field is one field as it stands in the header, all its lines with their
// CRLF. A line that is no field, since it has no name, is one without a name:
// it stays where it is.
type Field string

// Header is the fields of a message in their order.
type Header []Field

// ErrTooLong is returned for a header that is longer than its reader allows.
var ErrTooLong = errors.New("the header is too long")

// Read reads a header and the empty line after it. What follows is the body; a
// message may end without one, and without that line. Of a last line without
// CRLF the field gets one. limit is the most octets to read.
func Read(r *bufio.Reader, limit int) (Header, error) {
	var h Header
	var field strings.Builder
	whole := true // the last piece read ended a line
	for size := 0; ; {
		line, err := r.ReadSlice('\n')
		size += len(line)
		switch {
		case err == io.EOF && len(line) == 0:
			return h.with(field.String()), nil
		case err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case size > limit:
			return nil, ErrTooLong
		case whole && (string(line) == "\r\n" || string(line) == "\n"):
			return h.with(field.String()), nil
		case whole && line[0] != ' ' && line[0] != '\t':
			h = h.with(field.String())
			field.Reset()
		}
		field.Write(line)
		whole = err == nil
	}
}

// with is the header with one more field, if there is one.
func (h Header) with(field string) Header {
	if field == "" {
		return h
	}
	if !strings.HasSuffix(field, "\n") {
		field += "\r\n"
	}
	return append(h, Field(field))
}

// Make makes a field of a name and a value, which may have line ends: what
// follows them is folded (RFC 5322, section 2.2.3), and no line is empty, so
// that a value never ends its field or the header.
func Make(name, value string) Field {
	var b strings.Builder
	b.WriteString(name)
	b.WriteByte(':')
	first := true
	for line := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == '\r' || r == '\n' || r == 0 }) {
		line = strings.Trim(line, " \t")
		if line == "" {
			continue
		}
		if !first {
			b.WriteString("\r\n\t")
		} else {
			b.WriteByte(' ')
		}
		b.WriteString(line)
		first = false
	}
	b.WriteString("\r\n")
	return Field(b.String())
}

// Name is the field's name as it is written; "" where there is none (RFC 5322,
// section 2.2; section 4.5.8 allows white space before the colon).
func (f Field) Name() string {
	name, _, ok := strings.Cut(string(f), ":")
	if !ok {
		return ""
	}
	name = strings.TrimRight(name, " \t")
	if !IsName(name) {
		return ""
	}
	return name
}

// Is reports whether the field has the name, in any case.
func (f Field) Is(name string) bool { return strings.EqualFold(f.Name(), name) }

// Value is what stands behind the colon, with its folding, without the last
// CRLF.
func (f Field) Value() string {
	_, value, _ := strings.Cut(string(f), ":")
	return strings.TrimSuffix(strings.TrimSuffix(value, "\n"), "\r")
}

// Text is the value in one line (RFC 5322, section 2.2.3), without white space
// around it.
func (f Field) Text() string {
	return strings.Trim(strings.NewReplacer("\r\n", "", "\n", "").Replace(f.Value()), " \t")
}

// IsName reports whether s can be the name of a field: printable characters
// without the colon (RFC 5322, section 2.2).
func IsName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == ':' {
			return false
		}
	}
	return s != ""
}

// Get is the first field of the name, "" if there is none.
func (h Header) Get(name string) Field {
	for _, f := range h {
		if f.Is(name) {
			return f
		}
	}
	return ""
}

// All are the fields of the name, in their order.
func (h Header) All(name string) []Field {
	var all []Field
	for _, f := range h {
		if f.Is(name) {
			all = append(all, f)
		}
	}
	return all
}

// Size is how many octets the header has, with the empty line.
func (h Header) Size() int64 {
	n := int64(len("\r\n"))
	for _, f := range h {
		n += int64(len(f))
	}
	return n
}

// Bytes are the octets of the header, with the empty line.
func (h Header) Bytes() []byte {
	b := bytes.NewBuffer(make([]byte, 0, h.Size()))
	for _, f := range h {
		b.WriteString(string(f))
	}
	b.WriteString("\r\n")
	return b.Bytes()
}
