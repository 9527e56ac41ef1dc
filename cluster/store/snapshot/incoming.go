package snapshot

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Incoming is the data of a snapshot while it arrives, and is verified. It is
// used by one goroutine and ends with Finish or Cancel.
type Incoming struct {
	dir    *Dir
	path   string
	size   int64
	file   vfs.File       // nil after Finish
	pipe   *io.PipeWriter // nil once the verdict is in
	result chan error
}

// Receive begins a snapshot with data. verify is given the data as it arrives,
// on a goroutine of its own, and returns when it has seen the end or an error.
func (d *Dir) Receive(id string, verify func(io.Reader) error) (*Incoming, error) {
	path := d.file(id + dataSuffix)
	f, err := d.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("receive snapshot: %w", err)
	}
	r, w := io.Pipe()
	in := &Incoming{
		dir:  d,
		path: path,
		// What is written reaches the disk bit by bit: one large sync at the
		// end would hold up those of the log.
		file:   vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: 1 << 20}),
		pipe:   w,
		result: make(chan error, 1),
	}
	go func() {
		err := verify(r)
		r.CloseWithError(err)
		in.result <- err
	}()
	return in, nil
}

// Write implements io.Writer. It fails as soon as verify does.
func (in *Incoming) Write(b []byte) (int, error) {
	// The reader comes first: the file may change what it is given.
	if _, err := in.pipe.Write(b); err != nil {
		return 0, fmt.Errorf("receive snapshot: %w", err)
	}
	n, err := in.file.Write(b)
	in.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("receive snapshot: %w", err)
	}
	return n, nil
}

// Verdict ends the writing and returns what verify did, and the length of the
// data.
func (in *Incoming) Verdict() (int64, error) {
	_ = in.pipe.Close() // never fails
	in.pipe = nil
	if err := <-in.result; err != nil {
		return 0, fmt.Errorf("receive snapshot: %w", err)
	}
	return in.size, nil
}

// Finish makes the data durable; it comes after Verdict. An error means that
// this disk cannot be trusted.
func (in *Incoming) Finish() error {
	f := in.file
	in.file = nil
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync snapshot: %w", err)
	}
	return syncDir(in.dir.fs, in.dir.path)
}

// Cancel removes the data.
func (in *Incoming) Cancel() error {
	if in.pipe != nil {
		_ = in.pipe.CloseWithError(io.ErrUnexpectedEOF) // never fails
		<-in.result
	}
	var err error
	if in.file != nil {
		err = in.file.Close()
	}
	return errors.Join(err, in.dir.fs.Remove(in.path))
}
