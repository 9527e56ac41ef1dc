package archive

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
)

// text is a state that is these bytes.
type text []byte

// Size implements backup.Source.
func (s text) Size() (int64, error) { return int64(len(s)), nil }

// WriteTo implements backup.Source.
func (s text) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, bytes.NewReader(s)) }

func TestLoanIsReadInOrderAndTheLastAnswerAgain(t *testing.T) {
	a := &Archive{lendings: lendings{open: map[string]*lending{}}}
	whole := bytes.Repeat([]byte("0123456789"), chunk/8)
	returned := make(chan struct{})
	l, err := a.lendings.add(text(whole), int64(len(whole)), func() { close(returned) })
	if err != nil {
		t.Fatal(err)
	}
	read := func(offset int) ([]byte, error) {
		return a.read(t.Context(), "n2", binary.BigEndian.AppendUint64([]byte(l.ID), uint64(offset)))
	}
	var got []byte
	for len(got) < len(whole) {
		part, err := read(len(got))
		if err != nil {
			t.Fatal(err)
		}
		again, err := read(len(got))
		if err != nil || !bytes.Equal(part, again) {
			t.Fatalf("the same bytes a second time: %v", err)
		}
		got = append(got, part...)
	}
	if !bytes.Equal(got, whole) {
		t.Error("something else was read than lent")
	}
	if part, err := read(len(got)); err != nil || len(part) > 0 {
		t.Errorf("behind the end: %d bytes, %v", len(part), err)
	}
	<-returned
	if _, err := read(0); err == nil || len(a.lendings.open) > 0 {
		t.Error("the loan lasts beyond its end")
	}
}

func TestLoanIsNotReadOutOfOrder(t *testing.T) {
	a := &Archive{lendings: lendings{open: map[string]*lending{}}}
	returned := make(chan struct{})
	l, err := a.lendings.add(text("0123456789"), 10, func() { close(returned) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.read(t.Context(), "n2", binary.BigEndian.AppendUint64([]byte(l.ID), 5)); err == nil {
		t.Error("bytes are left out")
	}
	<-returned // who reads so is not served on
}
