// Package durable writes small files that outlive a loss of power as soon as the
// call has returned.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// Create writes a new file that its owner alone may read; fs.ErrExist where one
// is there.
func Create(path string, text []byte) error {
	return write(path, os.O_EXCL, text)
}

// Replace writes a file that its owner alone may read. What was there before is
// there until all of the new one is.
func Replace(path string, text []byte) error {
	if err := write(path+".new", os.O_TRUNC, text); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return Names(filepath.Dir(path))
}

// Names makes the names in a folder durable: those that files were given, and
// those that went.
func Names(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func write(path string, flag int, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flag, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return Names(filepath.Dir(path))
}
