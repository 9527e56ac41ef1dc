package spool

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestWhatWasWrittenIsReadFromItsStartAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f, err := NewRoom(dir).Create()
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
	if err := f.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func TestAMissingDirectoryIsNamed(t *testing.T) {
	if _, err := NewRoom(filepath.Join(t.TempDir(), "none")).Create(); err == nil {
		t.Error("no error")
	}
}

func TestAFileThatIsUsedAgainIsEmpty(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "room")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := NewRoom(dir)
	var files []*File
	for range mostIdle + 1 {
		f, err := r.Create()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("a secret")); err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	for _, f := range files {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(dir); err != nil { // so that none can be made
		t.Fatal(err)
	}
	for range mostIdle {
		f, err := r.Create()
		if err != nil {
			t.Fatalf("not used again: %v", err)
		}
		if s, err := f.f.Stat(); err != nil || s.Size() != 0 {
			t.Errorf("%d bytes are left, %v", s.Size(), err)
		}
		if _, err := f.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(f.Reader()); err != nil || string(b) != "x" {
			t.Errorf("read %q, %v", b, err)
		}
	}
	if _, err := r.Create(); err == nil {
		t.Error("more files than may wait")
	}
}
