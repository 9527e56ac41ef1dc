package note

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestNotes(t *testing.T) {
	fs := vfs.NewCrashableMem()
	if err := fs.MkdirAll("notes", 0o700); err != nil {
		t.Fatal(err)
	}
	root, err := fs.OpenDir("")
	if err == nil {
		err = root.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	d := Dir{FS: fs, Path: "notes"}
	if _, ok := d.Read("1"); ok || d.Any() || d.Remove("1") != nil {
		t.Error("there is a note")
	}
	if err := d.Write("1", "one"); err != nil {
		t.Fatal(err)
	}
	d.FS = fs.CrashClone(vfs.CrashCloneCfg{})
	if text, ok := d.Read("1"); !ok || text != "one" || !d.Any() {
		t.Errorf("got %q, %v", text, ok)
	}
	if err := d.Remove("1"); err != nil || d.Any() {
		t.Errorf("it is still there: %v", err)
	}
}
