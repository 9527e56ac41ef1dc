package keyfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	now := time.Unix(1000, 0)
	var faults []string
	bad := errors.New("bad text")
	reads := 0
	s := New(func(text []byte) (string, error) {
		reads++
		if string(text) == "bad" {
			return "", bad
		}
		return string(text), nil
	}, func() time.Time { return now }, func(path string, err error) {
		if !errors.Is(err, bad) && !errors.Is(err, ErrShared) {
			t.Error(err)
		}
		faults = append(faults, path)
	})
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		// A stamp of its own, however fast the test is.
		if err := os.Chtimes(path, now, now.Add(time.Duration(len(faults)+reads)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string, failure error) {
		t.Helper()
		got, err := s.Get(path)
		if got != want || !errors.Is(err, failure) || (err == nil) != (failure == nil) {
			t.Fatalf("%q, %v; expected %q, %v", got, err, want, failure)
		}
	}
	expect("", fs.ErrNotExist)
	write("one", 0o640)
	expect("", ErrShared)
	write("bad", 0o600)
	expect("", bad)
	write("one", 0o600)
	expect("one", nil)
	before := reads
	write("two!", 0o600)
	expect("one", nil) // looked at a moment ago
	now = now.Add(checkEvery)
	expect("two!", nil)
	now = now.Add(checkEvery)
	expect("two!", nil)
	if reads != before+1 {
		t.Errorf("%d reads of an unchanged file", reads-before)
	}
	if len(faults) > 0 {
		t.Errorf("faults told of %v", faults)
	}
	write("bad", 0o600)
	now = now.Add(checkEvery)
	expect("two!", nil) // what was good stays in use
	now = now.Add(checkEvery)
	write("three", 0o644)
	expect("two!", nil)
	if len(faults) != 2 {
		t.Errorf("%d faults told", len(faults))
	}
	write("three", 0o600)
	now = now.Add(checkEvery)
	expect("three", nil)
	now = now.Add(checkEvery)
	_ = os.Remove(path)
	expect("", fs.ErrNotExist)
}
