package salvage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"quorumta/cluster/store"
)

// copied is the folder of a data directory that its stores are copied to, to be
// read: already opening a store writes, and folding the end of a log changes a
// state.
const copied = "copied"

// likeness is a copy of the stores of a node that does not run. The node cannot
// start while it lasts.
type likeness struct {
	*store.Store
	dir   string
	locks []io.Closer
}

// liken copies the stores of a data directory. Tables, most of the bytes, are
// never changed in place: the copy shares them where the file system lets it.
func liken(data string) (_ *likeness, err error) {
	l := &likeness{dir: filepath.Join(data, copied)}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.end())
		}
	}()
	for _, name := range []string{"log", "state"} {
		if _, err := os.Lstat(filepath.Join(data, name)); err != nil {
			return nil, fmt.Errorf("there are no data to recover: %w", err)
		}
		lock, err := pebble.LockDirectory(filepath.Join(data, name), vfs.Default)
		if err != nil {
			return nil, fmt.Errorf("lock %s (no node may run on it): %w", data, err)
		}
		l.locks = append(l.locks, lock)
	}
	if err := os.RemoveAll(l.dir); err != nil {
		return nil, fmt.Errorf("remove what was copied before: %w", err)
	}
	for _, name := range []string{"log", "state", "snapshots", "marks", "damaged"} {
		if err := copyTree(filepath.Join(data, name), filepath.Join(l.dir, name)); err != nil {
			return nil, fmt.Errorf("copy what is there: %w", err)
		}
	}
	l.Store, err = openStore(l.dir)
	return l, err
}

// forget removes the copy; the node still cannot start.
func (l *likeness) forget() error {
	if len(l.locks) == 0 { // what is there is somebody else's
		return nil
	}
	var err error
	if l.Store != nil {
		err = l.Close()
		l.Store = nil
	}
	return errors.Join(err, os.RemoveAll(l.dir))
}

// end removes the copy and lets the node start.
func (l *likeness) end() error {
	err := l.forget()
	for _, lock := range l.locks {
		err = errors.Join(err, lock.Close())
	}
	l.locks = nil
	return err
}

// copyTree copies a folder, if it is there.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == from {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		name = filepath.Join(to, name)
		switch {
		case e.IsDir():
			return os.MkdirAll(name, 0o700)
		case e.Name() == "LOCK": // to close it again would let go of it
			return nil
		case immutable(name) && os.Link(path, name) == nil:
			return nil
		}
		return copyFile(path, name)
	})
}

// immutable reports whether a file of Pebble's is one that is written once.
func immutable(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".sst" || ext == ".blob"
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
