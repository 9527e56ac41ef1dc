// Package poison is about entries whose fold panics.
package poison

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Error is why a shard stops: the fold of an entry panicked (PROTOCOL
// 22). Every replica stops there; the way past it is to skip the entry.
type Error struct {
	Index uint64
	Place string // where the entry was put, or ""
	Panic any
}

// Error implements error.
func (e *Error) Error() string {
	text := fmt.Sprintf("entry %d: the fold panicked: %v", e.Index, e.Panic)
	if e.Place != "" {
		text += "; the entry is in " + e.Place
	}
	return text
}

// Keep keeps entries as files named shard-index.bin in the directory.
func Keep(fs vfs.FS, dir string) func(shard uint16, index uint64, data []byte) (string, error) {
	return func(shard uint16, index uint64, data []byte) (string, error) {
		if err := fs.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("keep entry: %w", err)
		}
		path := fs.PathJoin(dir, fmt.Sprintf("%d-%d.bin", shard, index))
		f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return "", fmt.Errorf("keep entry: %w", err)
		}
		_, err = f.Write(bytes.Clone(data)) // a File may change what it is given
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return "", fmt.Errorf("keep entry: %w", err)
		}
		return path, nil
	}
}
