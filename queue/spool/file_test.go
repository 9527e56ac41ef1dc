package spool

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestWhatWasWrittenIsReadFromItsStartAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("a name is left in the directory: %v", left)
	}
	for _, s := range []string{"one ", "two"} {
		if _, err := f.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if b, err := io.ReadAll(f.Reader()); err != nil || string(b) != "one two" {
			t.Errorf("read %q, %v", b, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.Write([]byte("x")); err == nil {
		t.Error("a closed file takes content")
	}
}

func TestAMissingDirectoryIsNamed(t *testing.T) {
	if _, err := Create(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error")
	}
}
