// Package ballast keeps a file that is in nobody's way until the disk is full.
// Then it is removed, and the write that had no room is tried again: outcomes and
// removals go on being recorded, where the store would have to stop. Nothing new
// is accepted long before, so that a disk is full by somebody else's doing.
package ballast

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options say how much is kept; every field is needed.
type Options struct {
	FS   vfs.FS
	Path string
	// Bytes is the length of the file; 0 removes it.
	Bytes int64
	Log   *slog.Logger
}

// Ballast is the file.
type Ballast struct {
	o       Options
	dropped atomic.Int64
}

// Open makes the file, or what is missing of it. Where the disk has not twice the
// room it goes on without.
func Open(o Options) (*Ballast, error) {
	b := &Ballast{o: o}
	if o.Bytes <= 0 {
		return b, b.remove()
	}
	if info, err := o.FS.Stat(o.Path); err == nil && info.Size() == o.Bytes {
		return b, nil
	}
	usage, err := o.FS.GetDiskUsage(o.FS.PathDir(o.Path))
	if err == nil && usage.AvailBytes < 2*uint64(o.Bytes) {
		o.Log.Warn("the disk is too full to keep a ballast", "free", usage.AvailBytes, "ballast", o.Bytes)
		return b, b.remove()
	}
	if err := b.fill(); err != nil {
		o.Log.Warn("no ballast can be kept", "err", err)
		return b, b.remove()
	}
	return b, nil
}

// fill writes the file: a hole would hold no room.
func (b *Ballast) fill() error {
	f, err := b.o.FS.Create(b.o.Path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	zeros := make([]byte, 1<<20)
	for left := b.o.Bytes; left > 0 && err == nil; left -= int64(len(zeros)) {
		_, err = f.Write(zeros[:min(left, int64(len(zeros)))])
	}
	return errors.Join(err, f.Sync(), f.Close())
}

func (b *Ballast) remove() error {
	if _, err := b.o.FS.Stat(b.o.Path); err != nil {
		return nil // there is none
	}
	if err := b.o.FS.Remove(b.o.Path); err != nil {
		return fmt.Errorf("remove ballast: %w", err)
	}
	return nil
}

// FS is the file system whose writes, when the disk is full, throw the ballast
// off and are tried once more.
func (b *Ballast) FS() vfs.FS { return vfs.OnDiskFull(b.o.FS, b.drop) }

// drop is called when a write has found no room, from any goroutine.
func (b *Ballast) drop() {
	b.dropped.Add(1)
	err := b.remove()
	b.o.Log.Error("the disk is full; make room, then restart the node", "path", b.o.Path, "err", err)
}

// Full is how often a write has found no room.
func (b *Ballast) Full() int64 { return b.dropped.Load() }
