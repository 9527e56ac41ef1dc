package tuning

import (
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// lastWords is how long a write of a blob file that has failed is held: the node
// is being stopped for it, and Pebble v2.1.7 panics when it is told at the
// file's end (blob.FileWriter.Close aborts what it has just finished).
const lastWords = 10 * time.Second

// blobs reports writes of blob files that fail, before Pebble is told.
type blobs struct {
	vfs.FS
	failed func(error)
}

// Create implements vfs.FS.
func (b blobs) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := b.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".blob") {
		return f, err
	}
	return blob{f, b.failed}, nil
}

// Unwrap implements vfs.FS.
func (b blobs) Unwrap() vfs.FS { return b.FS }

// blob is a blob file that is being written.
type blob struct {
	vfs.File
	failed func(error)
}

// Write implements vfs.File.
func (b blob) Write(p []byte) (int, error) {
	n, err := b.File.Write(p)
	return n, b.tell(err)
}

// Sync implements vfs.File.
func (b blob) Sync() error { return b.tell(b.File.Sync()) }

// SyncData implements vfs.File.
func (b blob) SyncData() error { return b.tell(b.File.SyncData()) }

// Close implements vfs.File.
func (b blob) Close() error { return b.tell(b.File.Close()) }

func (b blob) tell(err error) error {
	if err != nil {
		b.failed(err)
		time.Sleep(lastWords)
	}
	return err
}
