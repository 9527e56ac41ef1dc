package stream

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func encoded(t testing.TB, h Header, values ...int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, size := NewWriter(&b, h), NewSizer(h)
	for i, n := range values {
		key := fmt.Appendf(nil, "%08d", i)
		size.Add(len(key), n)
		if err := w.Pair(key, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	n, err := w.Close()
	if err != nil || n != int64(b.Len()) || n != size.Total() {
		t.Fatalf("%d bytes, told %d and %d: %v", b.Len(), n, size.Total(), err)
	}
	return b.Bytes()
}

func TestStreamIsReadAsWritten(t *testing.T) {
	want := Header{Cluster: "c1", Shard: 7, Lineage: [16]byte{1}, Applied: 12, Term: 3, Chain: [32]byte{2}}
	for _, values := range [][]int{nil, {0}, {1, 127, 128, 300 << 10}, {frameFull, frameFull, 1}, make([]int, 40_000)} {
		r := NewReader(bytes.NewReader(encoded(t, want, values...)))
		h, err := r.Header()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, h); d != "" {
			t.Error(d)
		}
		var got []int
		err = r.Body(func(key, value []byte) error {
			got = append(got, len(value))
			return nil
		})
		if err != nil || !cmp.Equal(values, got) {
			t.Errorf("%d pairs of %d: %v", len(got), len(values), err)
		}
	}
}

// Every byte of a stream counts.
func TestEveryByteIsChecked(t *testing.T) {
	good := encoded(t, Header{Cluster: "c1"}, 3, 0, 200)
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 0x10
		if err := verify(b); !errors.Is(err, ErrBad) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if err := verify(good[:i]); !errors.Is(err, ErrBad) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if err := verify(append(bytes.Clone(good), 0)); !errors.Is(err, ErrBad) {
		t.Errorf("longer: %v", err)
	}
	if err := verify(good); err != nil {
		t.Error(err)
	}
}

func TestKeysMustAscend(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b, Header{})
	for _, key := range []string{"a", "a"} {
		if err := w.Pair([]byte(key), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := verify(b.Bytes()); !errors.Is(err, ErrBad) {
		t.Errorf("got %v", err)
	}
}

func TestWriterRefusesWhatNoReaderTakes(t *testing.T) {
	w := NewWriter(&bytes.Buffer{}, Header{})
	if err := w.Pair([]byte("k"), make([]byte, frameMax)); err == nil {
		t.Error("a huge pair was written")
	}
	if _, err := w.Close(); err == nil {
		t.Error("the error was forgotten")
	}
}

func verify(b []byte) error {
	r := NewReader(bytes.NewReader(b))
	if _, err := r.Header(); err != nil {
		return err
	}
	return r.Verify()
}

func FuzzReader(f *testing.F) {
	small := encoded(f, Header{Cluster: "c"}, 1, 2)
	f.Add(small)
	f.Add(append(bytes.Clone(small[:len(small)-48]), 0xff, 0xff, 0xff, 0xff))
	f.Add(append(appendSum(small[:headerFixed+1]), 0, 0, 0, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := verify(b); err != nil && !errors.Is(err, ErrBad) {
			t.Fatal(err)
		}
		// The pairs of a frame whose checksum happens to agree.
		r := NewReader(nil)
		if err := r.split(b, func(_, _ []byte) error { return nil }); err != nil && !errors.Is(err, ErrBad) {
			t.Fatal(err)
		}
	})
}
