// Package snapshot keeps the snapshots of one shard in a directory: labels, and
// the data of those that came from another member. It knows nothing of the
// state that they are of.
package snapshot

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Dir is the directory of one shard. It is not safe for concurrent use, except
// for OpenData, Incoming, Fetched, Take and what Receive returns.
type Dir struct {
	fs     vfs.FS
	path   string
	seq    uint64
	newest *Label // nil: none
}

// incomingName is the file that a snapshot is fetched to.
const incomingName = "incoming"

// Open opens or makes the directory and removes everything but the newest
// snapshot and one that is being fetched: what a crash has left half-done, and
// what was replaced.
func Open(fs vfs.FS, path string) (*Dir, error) {
	d := &Dir{fs: fs, path: path}
	if err := fs.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	if err := errors.Join(syncDir(fs, fs.PathDir(path)), d.load()); err != nil {
		return nil, err
	}
	return d, nil
}

// Remove removes the directory of a shard, durably, whatever is in it.
func Remove(fs vfs.FS, path string) error {
	if err := fs.RemoveAll(path); err != nil {
		return fmt.Errorf("remove snapshots: %w", err)
	}
	return syncDir(fs, fs.PathDir(path))
}

// load finds the newest label and removes every file that is not of it.
func (d *Dir) load() error {
	names, err := d.fs.List(d.path)
	if err != nil {
		return err
	}
	id := ""
	for _, name := range names {
		if other, ok := strings.CutSuffix(name, labelSuffix); ok {
			id = max(id, other) // the sequence comes first
		}
	}
	keep := map[string]bool{incomingName: true}
	if id != "" {
		if d.newest, err = d.read(id); err != nil {
			return fmt.Errorf("%s: %w", d.file(id+labelSuffix), err)
		}
		d.seq = d.newest.Seq
		keep[id+labelSuffix] = true
		keep[id+dataSuffix] = d.newest.Kind == Received
	}
	for _, name := range names {
		if keep[name] {
			continue
		}
		if err := d.fs.Remove(d.file(name)); err != nil {
			return err
		}
	}
	return nil
}

func (d *Dir) file(name string) string { return d.fs.PathJoin(d.path, name) }

// read reads the label of an id.
func (d *Dir) read(id string) (*Label, error) {
	f, err := d.fs.Open(d.file(id + labelSuffix))
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	l, err := decode(b)
	if err != nil {
		return nil, err
	}
	hex, _, _ := strings.Cut(id, "-")
	if l.Seq, err = strconv.ParseUint(hex, 16, 64); err != nil || l.ID() != id {
		return nil, fmt.Errorf("%w: it is not that of the name", ErrDamaged)
	}
	return l, nil
}

// Newest is the newest label; nil if there is none. It must not be changed.
func (d *Dir) Newest() *Label { return d.newest }

// Next is the sequence of a new snapshot.
func (d *Dir) Next() uint64 {
	d.seq++
	return d.seq
}

// Keep makes the label the newest and durable. What it replaces is removed
// afterwards; left is what could not be, and goes at the next Open.
func (d *Dir) Keep(l *Label) (left, err error) {
	if err := d.write(l); err != nil {
		return nil, fmt.Errorf("write snapshot label: %w", err)
	}
	old := d.newest
	d.newest = l
	if old == nil {
		return nil, nil
	}
	if old.ID() != l.ID() {
		left = d.fs.Remove(d.file(old.ID() + labelSuffix))
	}
	if old.Kind == Received {
		left = errors.Join(left, d.fs.Remove(d.file(old.ID()+dataSuffix)))
	}
	return left, nil
}

// write replaces a label's file.
func (d *Dir) write(l *Label) error {
	path := d.file(l.ID() + labelSuffix)
	f, err := d.fs.Create(path+tempSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(l.encode())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := d.fs.Rename(path+tempSuffix, path); err != nil {
		return err
	}
	return syncDir(d.fs, d.path)
}

// Incoming is the path of the file that a snapshot is fetched to.
func (d *Dir) Incoming() string { return d.file(incomingName) }

// Fetched is the length of the file Incoming; 0 if there is none.
func (d *Dir) Fetched() int64 {
	info, err := d.fs.Stat(d.Incoming())
	if err != nil {
		return 0
	}
	return info.Size()
}

// Take makes the file Incoming, which is synced, the data of a snapshot. An error
// means that this disk cannot be trusted.
func (d *Dir) Take(id string) error {
	if err := d.fs.Rename(d.Incoming(), d.file(id+dataSuffix)); err != nil {
		return fmt.Errorf("take what was fetched: %w", err)
	}
	return syncDir(d.fs, d.path)
}

// Data is a received stream that knows its file, to be named when it is damaged.
type Data struct {
	io.ReadCloser
	path string
}

// Name is the path of the file.
func (d Data) Name() string { return d.path }

// OpenData opens the data of a received snapshot.
func (d *Dir) OpenData(id string) (Data, error) {
	path := d.file(id + dataSuffix)
	f, err := d.fs.Open(path, vfs.SequentialReadsOption)
	return Data{f, path}, err
}

// syncDir makes the names in a directory durable.
func syncDir(fs vfs.FS, path string) error {
	d, err := fs.OpenDir(path)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", path, err)
	}
	return nil
}
