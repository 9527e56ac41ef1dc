package event

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"quorumta/internal/mail"
	"quorumta/queue/event/codec"
)

var update = flag.Bool("update", false, "write the golden files anew; only for a new version of the format")

// fill sets every field of v to something that is not zero and differs from
// its neighbours.
func fill(v reflect.Value, n *uint64) {
	*n++
	switch x := v.Addr().Interface().(type) {
	case *time.Time:
		*x = time.UnixMilli(1_700_000_000_000 + int64(*n)).UTC()
		return
	case *mail.MessageID:
		*x = mail.NewMessageID(time.UnixMilli(1_700_000_000_000), 7, [5]byte{4: byte(*n)})
		return
	case *[]byte:
		*x = fmt.Appendf(nil, "content %d", *n)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("%s %d", v.Type().Name(), *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(*n%2 + 1)
	case reflect.Int8:
		v.SetInt(-int64(*n%9) - 1)
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(*n * 1000)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n) * 1000)
	default:
		panic(v.Type())
	}
}

// full is an entry with one event of the kind that has every field set.
func full(k Kind) Entry {
	e, n := kinds[k].make(), uint64(0)
	fill(reflect.ValueOf(e).Elem(), &n)
	g := Group{At: time.UnixMilli(1_700_000_000_000).UTC(), Events: []Event{e}}
	if k != KindPruned && k != KindSwept {
		g.ID = mail.NewMessageID(g.At, 7, [5]byte{1, 2, 3, 4, 5})
	}
	return Entry{Term: 300, Groups: []Group{g}}
}

func allKinds() []Kind {
	var all []Kind
	for k := range kinds {
		if kinds[k].make != nil {
			all = append(all, Kind(k))
		}
	}
	return all
}

// The bytes of every field of every kind are frozen.
func TestGolden(t *testing.T) {
	for _, k := range allKinds() {
		t.Run(k.String(), func(t *testing.T) {
			e := full(k)
			got := Append(nil, e)
			file := filepath.Join("testdata", k.String()+".hex")
			if *update {
				if err := os.WriteFile(file, []byte(hex.EncodeToString(got)+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := hex.DecodeString(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the encoding has changed:\n got %x\nwant %x", got, want)
			}
			if decoded, err := Decode(want); err != nil || !reflect.DeepEqual(decoded, e) {
				t.Errorf("decoded to %+v, %v", decoded, err)
			}
			if k != kinds[k].make().Kind() {
				t.Errorf("kind %d is made as kind %d", k, kinds[k].make().Kind())
			}
		})
	}
}

// What older programs wrote is read, and written the same again: fields that
// they did not know are not there.
func TestOlderEncodings(t *testing.T) {
	files, err := filepath.Glob("testdata/older/*.hex")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		old, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		e, err := Decode(old)
		if err != nil || !bytes.Equal(Append(nil, e), old) {
			t.Errorf("%s: %+v, %v", file, e, err)
		}
		if level := LevelOf(e.Groups[0].Events[0]); level > 2 {
			t.Errorf("%s is of level %d", file, level)
		}
	}
	if level := LevelOf(full(KindAccepted).Groups[0].Events[0]); level != 3 {
		t.Errorf("a message with all fields is of level %d", level)
	}
}

// entry.proto names every kind with its number.
func TestProtoAgrees(t *testing.T) {
	proto, err := os.ReadFile("entry.proto")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^    (\w+) \w+ = (\d+);$`).FindAllSubmatch(proto, -1) {
		found[fmt.Sprintf("%s %s", m[1], m[2])] = true
	}
	for _, k := range allKinds() {
		name := reflect.TypeOf(kinds[k].make()).Elem().Name()
		if !found[fmt.Sprintf("%s %d", name, k)] {
			t.Errorf("entry.proto lacks %s = %d", name, k)
		}
	}
	if len(found) != len(allKinds()) {
		t.Errorf("entry.proto has %d kinds, the code %d", len(found), len(allKinds()))
	}
}

// Every byte of an encoding matters: none can be cut, changed or added without
// an error or another entry.
func TestDamageIsSeen(t *testing.T) {
	for _, k := range allKinds() {
		good := Append(nil, full(k))
		for i := range good {
			checkCanonical(t, good[:i])
			for _, flip := range []byte{1, 2, 4, 8, 16, 32, 64, 128} {
				damaged := bytes.Clone(good)
				damaged[i] ^= flip
				checkCanonical(t, damaged)
			}
		}
		checkCanonical(t, append(bytes.Clone(good), 0))
	}
}

func checkCanonical(t *testing.T, b []byte) {
	t.Helper()
	e, err := Decode(b)
	if err != nil {
		return
	}
	if again := Append(nil, e); !bytes.Equal(again, b) {
		t.Fatalf("%x decodes, but is encoded as %x", b, again)
	}
}

func TestRandomEntriesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := randomEntry(t)
		prefix := []byte("prefix")
		b := Append(bytes.Clone(prefix), e)
		got, err := Decode(b[len(prefix):])
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("%v\n got %+v\nwant %+v", err, got, e)
		}
	})
}

func randomEntry(t *rapid.T) Entry {
	e := Entry{Term: rapid.Uint64().Draw(t, "term")}
	for range rapid.IntRange(0, 3).Draw(t, "groups") {
		var g Group
		if rapid.Bool().Draw(t, "about a message") {
			g.ID = mail.NewMessageID(time.UnixMilli(rapid.Int64Range(0, 1<<48-1).Draw(t, "drawn")), 9, [5]byte{1})
		}
		g.At = time.UnixMilli(rapid.Int64Range(1, 1<<48-1).Draw(t, "at")).UTC()
		for range rapid.IntRange(0, 3).Draw(t, "events") {
			one := kinds[rapid.SampledFrom(allKinds()).Draw(t, "kind")].make()
			randomize(t, reflect.ValueOf(one).Elem())
			g.Events = append(g.Events, one)
		}
		e.Groups = append(e.Groups, g)
	}
	return e
}

func randomize(t *rapid.T, v reflect.Value) {
	if v.Kind() != reflect.Struct && rapid.IntRange(0, 3).Draw(t, "zero") == 0 {
		return
	}
	n := uint64(rapid.Uint32Range(0, 200).Draw(t, "n"))
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			fill(v, &n)
			return
		}
		for i := range v.NumField() {
			randomize(t, v.Field(i))
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "int"))
	case reflect.Uint32:
		v.SetUint(uint64(rapid.Uint32().Draw(t, "uint32")))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "uint64"))
	default:
		fill(v, &n)
	}
}

func TestDecodeRefuses(t *testing.T) {
	tag := func(n int, kind protowire.Type) []byte {
		return protowire.AppendTag(nil, protowire.Number(n), kind)
	}
	in := func(n int, body []byte) []byte {
		return protowire.AppendBytes(tag(n, protowire.BytesType), body)
	}
	event := func(body []byte) []byte { return in(2, in(3, body)) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	id := Append(nil, Entry{Groups: []Group{{ID: "0123456789abcdefghjk"}}})
	tests := []struct {
		name string
		b    []byte
		want error
		says string
	}{
		{"unknown kind", event(in(27, nil)), ErrUnknownKind, "event 27"},
		{"kind 0", event(nil), ErrUnknownKind, "event 0"},
		{"huge kind", event(in(1<<20, nil)), ErrUnknownKind, ""},
		{"two kinds", event(join(in(14, nil), in(15, nil))), codec.ErrMalformed, "field 15"},
		{"kind of wrong type", event(join(tag(14, protowire.VarintType), []byte{1})), codec.ErrMalformed, "field 14"},
		{"unknown field", event(in(14, in(9, []byte("x")))), codec.ErrMalformed, "field 14: field 9: unknown"},
		{"out of order", join(in(2, nil), tag(1, protowire.VarintType), []byte{1}), codec.ErrMalformed, "field 1"},
		{"repeated", bytes.Repeat(join(tag(1, protowire.VarintType), []byte{1}), 2), codec.ErrMalformed, "field 1"},
		{"zero", join(tag(1, protowire.VarintType), []byte{0}), codec.ErrMalformed, "field 1: zero"},
		{"long varint", join(tag(1, protowire.VarintType), []byte{0x81, 0}), codec.ErrMalformed, "field 1: no varint"},
		{"cut varint", join(tag(1, protowire.VarintType), []byte{0x81}), codec.ErrMalformed, "field 1"},
		{"long tag", []byte{0x88, 0, 1}, codec.ErrMalformed, "field 1"},
		{"cut tag", []byte{0x88}, codec.ErrMalformed, "tag"},
		{"promised length", join(tag(2, protowire.BytesType), protowire.AppendVarint(nil, math.MaxUint64)), codec.ErrMalformed, "cut short"},
		{"empty string", event(in(14, in(1, nil))), codec.ErrMalformed, "empty"},
		{"empty message", event(in(21, in(1, nil))), codec.ErrMalformed, "empty"},
		{"upper-case id", bytes.ToUpper(id), codec.ErrMalformed, "message id"},
		{"short id", in(2, in(1, []byte("abc"))), codec.ErrMalformed, "message id"},
		{"short id of an upload", event(in(19, in(1, []byte("abc")))), codec.ErrMalformed, "message id"},
		{"empty id of an upload", event(in(19, in(1, nil))), codec.ErrMalformed, "message id"},
		{"digest of zeros", event(in(2, in(8, make([]byte, 32)))), codec.ErrMalformed, "32 bytes"},
		{"short digest", event(in(2, in(8, []byte("short")))), codec.ErrMalformed, "32 bytes"},
		{"33 bits", event(in(18, join(tag(1, protowire.VarintType), protowire.AppendVarint(nil, 1<<32)))), codec.ErrMalformed, "32 bits"},
		{"33 bits in a list", event(in(11, in(1, protowire.AppendVarint(nil, 1<<32)))), codec.ErrMalformed, "32 bits"},
		{"cut list", event(in(11, in(1, []byte{0x80}))), codec.ErrMalformed, "varint"},
		{"late time", in(2, join(tag(2, protowire.VarintType), protowire.AppendVarint(nil, 1<<48))), codec.ErrMalformed, "time"},
		{"unknown error", event(in(9, join(tag(3, protowire.VarintType), []byte{byte(NewestError) + 1}))), codec.ErrMalformed, "unknown value"},
		{"true as 2", event(in(6, join(tag(6, protowire.VarintType), []byte{2}))), codec.ErrMalformed, "unknown value"},
		{"boot of zeros", event(in(4, in(3, join(tag(2, protowire.Fixed64Type), make([]byte, 8))))), codec.ErrMalformed, "zero"},
		{"cut boot", event(in(4, in(3, join(tag(2, protowire.Fixed64Type), make([]byte, 7))))), codec.ErrMalformed, "cut short"},
	}
	for _, tt := range tests {
		_, err := Decode(tt.b)
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %v with %q", tt.name, err, tt.want, tt.says)
		}
	}
}

func TestContentIsNotCopied(t *testing.T) {
	b := Append(nil, Entry{Groups: []Group{{Events: []Event{&BodyPart{Content: []byte("content")}}}}})
	e, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	copy(b[bytes.Index(b, []byte("content")):], "CONTENT")
	if got := e.Groups[0].Events[0].(*BodyPart).Content; string(got) != "CONTENT" || cap(got) != len(got) {
		t.Errorf("got %q, capacity %d", got, cap(got))
	}
}

func TestTimesAreWholeMilliseconds(t *testing.T) {
	for in, want := range map[time.Time]time.Time{
		time.Unix(1, 999_999).In(time.FixedZone("", 3600)): time.UnixMilli(1000).UTC(),
		time.Unix(-5, 0):        {},
		time.UnixMilli(1 << 50): time.UnixMilli(1<<48 - 1).UTC(),
	} {
		e, err := Decode(Append(nil, Entry{Groups: []Group{{At: in}}}))
		if err != nil || e.Groups[0].At != want {
			t.Errorf("%v: got %v, %v", in, e, err)
		}
	}
}

func TestKindNames(t *testing.T) {
	if got := KindDoubted.String(); got != "in_doubt" {
		t.Errorf("doubted is called %q", got)
	}
	for _, k := range []Kind{0, 27, 255} {
		if k.String() != "unknown" {
			t.Errorf("kind %d is called %q", k, k)
		}
	}
}

// A kind of a level is proposed only where all members know the level.
func TestKindsHaveTheirLevel(t *testing.T) {
	for _, k := range allKinds() {
		want := 1
		switch k {
		case KindSuspended, KindResumed:
			want = 2
		case KindExpanded, KindNoted, KindUnnoted, KindEdited:
			want = 3
		}
		if k.Level() != want || want > Newest {
			t.Errorf("%s is of level %d, want %d", k, k.Level(), want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, k := range allKinds() {
		f.Add(Append(nil, full(k)))
	}
	f.Fuzz(func(t *testing.T, b []byte) { checkCanonical(t, b) })
}

func benchmarkEntry() Entry {
	e := full(KindAccepted)
	e.Groups[0].Events[0].(*Accepted).Content = make([]byte, 10<<10)
	return e
}

func BenchmarkAppend(b *testing.B) {
	e := benchmarkEntry()
	b.ReportAllocs()
	for b.Loop() {
		Append(nil, e)
	}
}

func BenchmarkDecode(b *testing.B) {
	data := Append(nil, benchmarkEntry())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

// Every priority is read as it was written.
func TestPriorities(t *testing.T) {
	for p := mail.LowestPriority; p <= mail.HighestPriority; p++ {
		e := full(KindAccepted)
		a := e.Groups[0].Events[0].(*Accepted)
		a.Envelope.Priority, a.Envelope.RequireTLS, a.Envelope.TLSOptional = p, false, false
		got, err := Decode(Append(nil, e))
		if err != nil || got.Groups[0].Events[0].(*Accepted).Envelope.Priority != p {
			t.Errorf("%d became %+v, %v", p, got, err)
		}
		if level := LevelOf(a); (level == 3) != (p != 0) {
			t.Errorf("an event with priority %d is of level %d", p, level)
		}
	}
}
