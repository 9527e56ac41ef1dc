package dkim

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"quorumta/internal/mail/header"
	"quorumta/internal/mailauth/canon"
)

// lineLength is where fields are folded (RFC 5322, section 2.1.1).
const lineLength = 76

// Tags writes a field that is a list of tags (RFC 6376, section 3.2), folded.
type Tags struct {
	b     strings.Builder
	width int
	some  bool
}

// NewTags begins a field of the name.
func NewTags(name string) *Tags {
	t := &Tags{}
	t.write(name + ":")
	return t
}

func (t *Tags) write(s string) {
	t.b.WriteString(s)
	t.width += len(s)
}

// fold begins a new line.
func (t *Tags) fold() {
	t.b.WriteString("\r\n\t")
	t.width = 1
}

// begin is what goes before a tag whose text has a length.
func (t *Tags) begin(length int) {
	if t.some {
		t.write(";")
	}
	t.some = true
	if t.width+1+length > lineLength && t.width > 1 {
		t.fold()
	} else {
		t.write(" ")
	}
}

// Add adds a tag; its value has no white space.
func (t *Tags) Add(name, value string) {
	t.begin(len(name) + 1 + len(value))
	t.write(name + "=" + value)
}

// List adds a tag whose values are separated by colons.
func (t *Tags) List(name string, values []string) {
	t.begin(len(name) + 1)
	t.write(name + "=")
	for i, v := range values {
		if i > 0 {
			t.write(":")
		}
		if t.width+len(v) > lineLength {
			t.fold()
		}
		t.write(v)
	}
}

// Sign adds b= with the signature over the named fields and what was added so
// far, and ends the field.
func (t *Tags) Sign(k *Key, h header.Header, names []string, form canon.Form) (header.Field, error) {
	return t.seal(k, func(unsigned header.Field) []byte { return Hash(h, names, form, unsigned) })
}

// SignFields is Sign over fields in the order that they are given in, relaxed
// (RFC 8617, section 5.1.1).
func (t *Tags) SignFields(k *Key, fields []header.Field) (header.Field, error) {
	return t.seal(k, func(unsigned header.Field) []byte { return HashFields(fields, unsigned) })
}

func (t *Tags) seal(k *Key, hash func(unsigned header.Field) []byte) (header.Field, error) {
	t.begin(lineLength) // on a line of its own
	t.write("b=")
	unsigned := t.b.String() + "\r\n"
	signature, err := k.Sign(hash(header.Field(unsigned)))
	if err != nil {
		return "", err
	}
	text := base64.StdEncoding.EncodeToString(signature)
	for room := lineLength - t.width; len(text) > room; room = lineLength - 1 {
		t.write(text[:room])
		text = text[room:]
		t.fold()
	}
	t.write(text)
	return header.Field(t.b.String() + "\r\n"), nil
}

// HashFields is the hash that a seal is over: fields in their order, and the
// seal without its value, in the relaxed form.
func HashFields(fields []header.Field, seal header.Field) []byte {
	sum := sha256.New()
	for _, f := range fields {
		_, _ = sum.Write([]byte(canon.Relaxed.Field(f)))
	}
	last := canon.Relaxed.Field(seal)
	_, _ = sum.Write([]byte(strings.TrimSuffix(last, "\r\n")))
	return sum.Sum(nil)
}

// errTags means that a field is no list of tags.
var errTags = errors.New("it is no list of tags")

// ParseTags reads a list of tags (RFC 6376, section 3.2). The white space in
// values that folding left is taken out.
func ParseTags(value string) (map[string]string, error) {
	tags := map[string]string{}
	for spec := range strings.SplitSeq(strings.TrimSuffix(strings.TrimRight(value, " \t\r\n"), ";"), ";") {
		name, v, ok := strings.Cut(spec, "=")
		name = strings.Trim(name, " \t\r\n")
		if !ok || name == "" {
			return nil, errTags
		}
		if _, twice := tags[name]; twice {
			return nil, fmt.Errorf("%w: %s stands in it twice", errTags, name)
		}
		tags[name] = strings.Join(strings.Fields(v), "")
	}
	return tags, nil
}

// Unsigned is a signature without the value of its tag b= (RFC 6376, section
// 3.7).
func Unsigned(f header.Field) header.Field {
	s := string(f)
	colon := strings.IndexByte(s, ':')
	if colon < 0 {
		return f
	}
	for at := colon + 1; ; {
		end := strings.IndexByte(s[at:], ';')
		spec := s[at:]
		if end >= 0 {
			spec = s[at : at+end]
		}
		name, value, ok := strings.Cut(spec, "=")
		if ok && strings.Trim(name, " \t\r\n") == "b" {
			from := at + len(name) + 1
			rest := s[from+len(value):]
			if end < 0 {
				rest = "\r\n"
			}
			return header.Field(s[:from] + rest)
		}
		if end < 0 {
			return f
		}
		at += end + 1
	}
}
