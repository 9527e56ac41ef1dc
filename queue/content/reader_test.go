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
	r := NewReader(2, [32]byte{}, load, func() error { return broken })
	if b, err := io.ReadAll(r); !errors.Is(err, broken) || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
	lost := NewReader(1, [32]byte{}, func(uint32) ([]byte, error) { return nil, broken }, nil)
	if _, err := io.ReadAll(lost); !errors.Is(err, broken) {
		t.Errorf("err = %v", err)
	}
}
