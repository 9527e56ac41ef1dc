package codec

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"
)

type colour uint8

type inner struct {
	Name  string
	Empty bool
}

// everything has a field of every sort.
type everything struct {
	U64    uint64
	U32    uint32
	I64    int64
	Int    int
	Byte   byte
	Bool   bool
	Fixed  uint64
	At     time.Time
	Took   time.Duration
	Raw    []byte
	Array  [4]byte
	List   []uint32
	Text   string
	Texts  []string
	Colour colour
	Inner  inner
	Inners []inner
	Always inner
}

func describeInner(f *Fields, v *inner) {
	String(f, 1, &v.Name)
	f.Bool(2, &v.Empty)
}

func describe(f *Fields, v *everything) {
	describeOptional(f, v)
	if !f.Always(18, func(sub *Fields) { describeInner(sub, &v.Always) }) {
		f.Refuse(errors.New("field 18 is missing"))
	}
}

func describeOptional(f *Fields, v *everything) {
	f.Uint64(1, &v.U64)
	f.Uint32(2, &v.U32)
	f.Int64(3, &v.I64)
	f.Int(4, &v.Int)
	f.Byte(5, &v.Byte)
	f.Bool(6, &v.Bool)
	f.Fixed64(7, &v.Fixed)
	f.Time(8, &v.At)
	f.Duration(9, &v.Took)
	f.Bytes(10, &v.Raw)
	f.Array(11, v.Array[:])
	f.Uint32s(12, &v.List)
	String(f, 13, &v.Text)
	Strings(f, 14, &v.Texts)
	Enum(f, 15, &v.Colour, 3)
	Message(f, 16, &v.Inner, describeInner)
	List(f, 17, &v.Inners, describeInner)
}

func random(t *rapid.T) everything {
	inners := rapid.Custom(func(t *rapid.T) inner {
		return inner{rapid.String().Draw(t, "name"), rapid.Bool().Draw(t, "empty")}
	})
	v := everything{
		U64: rapid.Uint64().Draw(t, "u64"), U32: rapid.Uint32().Draw(t, "u32"),
		I64: rapid.Int64().Draw(t, "i64"), Int: rapid.Int().Draw(t, "int"),
		Byte: rapid.Byte().Draw(t, "byte"), Bool: rapid.Bool().Draw(t, "bool"),
		Fixed: rapid.Uint64().Draw(t, "fixed"), Took: time.Duration(rapid.Int64().Draw(t, "took")),
		Text: rapid.String().Draw(t, "text"), Colour: colour(rapid.IntRange(0, 3).Draw(t, "colour")),
		Inner: inners.Draw(t, "inner"), Always: inners.Draw(t, "always"),
	}
	if ms := rapid.Int64Range(0, maxMillis).Draw(t, "at"); ms > 0 {
		v.At = time.UnixMilli(ms).UTC()
	}
	copy(v.Array[:], rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "array"))
	// An empty list comes back as nil.
	v.Raw = append(v.Raw, rapid.SliceOf(rapid.Byte()).Draw(t, "raw")...)
	v.List = append(v.List, rapid.SliceOf(rapid.Uint32()).Draw(t, "list")...)
	v.Texts = append(v.Texts, rapid.SliceOf(rapid.String()).Draw(t, "texts")...)
	v.Inners = append(v.Inners, rapid.SliceOf(inners).Draw(t, "inners")...)
	return v
}

func TestValuesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := random(t)
		b := Append([]byte("before"), &v, describe)
		var got everything
		if err := Decode(b[len("before"):], &got, describe); err != nil || !reflect.DeepEqual(got, v) {
			t.Fatalf("%v\n got %+v\nwant %+v", err, got, v)
		}
	})
}

// What is read at all is read from its only encoding.
func TestEncodingIsCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := random(t)
		b := Append(nil, &v, describe)
		at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		switch rapid.IntRange(0, 3).Draw(t, "damage") {
		case 0:
			b = b[:at]
		case 1:
			b[at] = rapid.Byte().Draw(t, "byte")
		case 2:
			b = append(b[:at:at], b[at+1:]...)
		case 3:
			b = append(b[:at:at], append([]byte{rapid.Byte().Draw(t, "byte")}, b[at:]...)...)
		}
		checkCanonical(t, b)
	})
}

func checkCanonical(t interface{ Fatalf(string, ...any) }, b []byte) {
	var v everything
	if Decode(b, &v, describe) != nil {
		return
	}
	if again := Append(nil, &v, describe); !bytes.Equal(again, b) {
		t.Fatalf("%x is read as %+v, which is written as %x", b, v, again)
	}
}

func TestErrorsNameTheField(t *testing.T) {
	var v everything
	err := Decode([]byte{0x82, 0x01, 2, 0x18, 1}, &v, describe)
	if want := "field 16: field 3: unknown, repeated or out of order: malformed encoding"; err == nil || err.Error() != want || !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
	if err := Decode(nil, &v, describe); err == nil || err.Error() != "field 18 is missing" {
		t.Errorf("got %v", err)
	}
}

// What no value is written as is refused, and the error says why.
func TestWhatIsMalformed(t *testing.T) {
	tag := func(n Number, kind protowire.Type) []byte { return protowire.AppendTag(nil, n, kind) }
	number := func(n Number, x uint64) []byte { return protowire.AppendVarint(tag(n, protowire.VarintType), x) }
	bytesOf := func(n Number, b ...byte) []byte { return protowire.AppendBytes(tag(n, protowire.BytesType), b) }
	for _, c := range []struct {
		b    []byte
		says string
	}{
		{number(2, 1<<32), "field 2: more than 32 bits"},
		{number(5, 256), "field 5: unknown value"},
		{number(6, 2), "field 6: unknown value"},
		{number(1, 0), "field 1: zero"},
		{number(8, maxMillis+1), "field 8: time out of range"},
		{number(15, 4), "field 15: unknown value"},
		{bytesOf(10), "field 10: empty"},
		{bytesOf(11, 1, 2, 3), "field 11: not 4 bytes"},
		{bytesOf(11, 0, 0, 0, 0), "field 11: not 4 bytes, or zeros"},
		{bytesOf(12, protowire.AppendVarint(nil, 1<<32)...), "field 12: more than 32 bits"},
		{bytesOf(12, 0x80), "field 12: no varint"},
		{bytesOf(16), "field 16: empty"},
		{bytesOf(1, 1), "field 1: wrong type"},
		{append(tag(10, protowire.BytesType), 5, 1), "field 10: cut short"},
		{append(tag(7, protowire.Fixed64Type), make([]byte, 8)...), "field 7: zero or cut short"},
		{append(tag(1, protowire.VarintType), 0x81, 0x00), "field 1: no varint"},
		{[]byte{0xff}, "damaged"},
	} {
		var v everything
		err := Decode(c.b, &v, describeOptional)
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%x: got %v, want %q", c.b, err, c.says)
		}
	}
}

// A description may look at what comes, to choose what it reads.
func TestADescriptionMayLookAhead(t *testing.T) {
	choose := func(f *Fields, v *inner) {
		if f.Reading() && f.Next() == 1 || !f.Reading() && v.Name != "" {
			String(f, 1, &v.Name)
			return
		}
		f.Bool(2, &v.Empty)
	}
	for _, want := range []inner{{Name: "x"}, {Empty: true}, {}} {
		var got inner
		if err := Decode(Append(nil, &want, choose), &got, choose); err != nil || got != want {
			t.Errorf("%+v, %v", got, err)
		}
	}
	var got inner
	if err := Decode([]byte{0xff}, &got, choose); !errors.Is(err, ErrMalformed) {
		t.Errorf("a damaged tag: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	v := everything{
		1, 2, 3, 4, 5, true, 7, time.UnixMilli(8), 9, []byte("10"), [4]byte{11}, []uint32{12, 300}, "13",
		[]string{"14", ""}, 3, inner{Name: "16"}, []inner{{}, {"17", true}}, inner{},
	}
	f.Add(Append(nil, &v, describe))
	f.Fuzz(func(t *testing.T, b []byte) { checkCanonical(t, b) })
}
