package content

import (
	"crypto/sha256"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

func TestPartsAreReadAsOne(t *testing.T) {
	parts := []string{"one ", "two ", "three"}
	whole := "one two three"
	load := func(n uint32) ([]byte, error) { return []byte(parts[n]), nil }
	r := NewReader(3, sha256.Sum256([]byte(whole)), load, nil)
	if err := iotest.TestReader(r, []byte(whole)); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("after Close: %v", err)
	}
}

func TestADamagedWholeNeverEnds(t *testing.T) {
	broken := errors.New("damaged")
	load := func(uint32) ([]byte, error) { return []byte("x"), nil }
	var given []Sum
	r := NewReader(2, Sum{}, load, func(parts []Sum) ([]byte, error) { given = parts; return nil, broken })
	if b, err := io.ReadAll(r); !errors.Is(err, broken) || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
	if len(given) != 1 || given[0] != sha256.Sum256([]byte("x")) {
		t.Errorf("given %x", given)
	}
	lost := NewReader(1, Sum{}, func(uint32) ([]byte, error) { return nil, broken }, nil)
	if _, err := io.ReadAll(lost); !errors.Is(err, broken) {
		t.Errorf("err = %v", err)
	}
}

func TestTheLastPartCanBeMended(t *testing.T) {
	load := func(n uint32) ([]byte, error) { return []byte{"ax"[n]}, nil }
	r := NewReader(2, sha256.Sum256([]byte("ab")), load, func([]Sum) ([]byte, error) { return []byte("b"), nil })
	if b, err := io.ReadAll(r); err != nil || string(b) != "ab" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestVerify(t *testing.T) {
	load := func(n uint32) ([]byte, error) { return []byte{"ab"[n]}, nil }
	sums, last, ok := Verify(2, sha256.Sum256([]byte("ab")), load)
	if !ok || len(sums) != 2 || sums[0] != sha256.Sum256([]byte("a")) || sums[1] != sha256.Sum256([]byte("ab")) || string(last) != "b" {
		t.Errorf("%x, %q, %v", sums, last, ok)
	}
	if _, _, ok := Verify(2, Sum{}, load); ok {
		t.Error("another digest is right")
	}
	if _, _, ok := Verify(1, Sum{}, func(uint32) ([]byte, error) { return nil, io.EOF }); ok {
		t.Error("what is missing is right")
	}
}
