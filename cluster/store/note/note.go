// Package note keeps short texts in a directory, each in a file of its own, for
// the next start of the process.
package note

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// longest is how much of a note is read.
const longest = 4096

// Dir is a directory of notes, which exists. It may be used from any goroutine.
type Dir struct {
	FS   vfs.FS
	Path string
}

// Write writes a note, durably.
func (d Dir) Write(name, text string) error {
	f, err := d.FS.Create(d.file(name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("write note: %w", err)
	}
	_, err = f.Write([]byte(text))
	if err = errors.Join(err, f.Sync(), f.Close(), d.sync()); err != nil {
		return fmt.Errorf("write note: %w", err)
	}
	return nil
}

// Read returns a note, and whether there is one. What cannot be read is there,
// and says why it cannot.
func (d Dir) Read(name string) (text string, ok bool) {
	f, err := d.FS.Open(d.file(name))
	if err != nil {
		_, absent := d.FS.Stat(d.file(name))
		return err.Error(), absent == nil
	}
	b, err := io.ReadAll(io.LimitReader(f, longest))
	if err = errors.Join(err, f.Close()); err != nil {
		return err.Error(), true
	}
	return string(b), true
}

// Any reports whether there is a note.
func (d Dir) Any() bool {
	names, err := d.FS.List(d.Path)
	return err == nil && len(names) > 0
}

// Remove removes a note, durably, if it is there.
func (d Dir) Remove(name string) error {
	if _, err := d.FS.Stat(d.file(name)); err != nil {
		return nil
	}
	if err := errors.Join(d.FS.Remove(d.file(name)), d.sync()); err != nil {
		return fmt.Errorf("remove note: %w", err)
	}
	return nil
}

func (d Dir) file(name string) string { return d.FS.PathJoin(d.Path, name) }

func (d Dir) sync() error {
	dir, err := d.FS.OpenDir(d.Path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
