package transfer

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Download is a stream that arrives in chunks, in a file. It is used by one
// goroutine and ends with Finish, Close or Remove.
type Download struct {
	fs       vfs.FS
	path     string
	manifest *Manifest
	file     vfs.File // nil once it has ended
	have     int      // chunks that are there, from the first one
	size     int64    // their bytes
}

// Resume opens the file, or makes it, and finds out which chunks are there
// already: what a transfer that was cut off, or a crash, has left is read and
// believed by its digest only.
func Resume(fs vfs.FS, path string, m *Manifest) (*Download, error) {
	d := &Download{fs: fs, path: path, manifest: m}
	if err := d.open(); err != nil {
		return nil, fmt.Errorf("resume transfer: %w", err)
	}
	return d, nil
}

func (d *Download) open() error {
	info, err := d.fs.Stat(d.path)
	if err == nil && info.Size() > d.manifest.Size() {
		// It is of another stream, and would be too long for ever.
		if err := d.fs.Remove(d.path); err != nil {
			return err
		}
	}
	if d.file, err = d.fs.OpenReadWrite(d.path, vfs.WriteCategoryUnspecified); err != nil {
		return err
	}
	for _, c := range d.manifest.Chunks {
		b := make([]byte, c.Size)
		_, err := d.file.ReadAt(b, d.size)
		if errors.Is(err, io.EOF) || err == nil && sha256.Sum256(b) != c.Digest {
			return nil
		}
		if err != nil {
			return errors.Join(err, d.file.Close())
		}
		d.have++
		d.size += c.Size
	}
	return nil
}

// Next is the number of the chunk to fetch now; ok is false when all are there.
func (d *Download) Next() (i int, ok bool) {
	return d.have, d.have < len(d.manifest.Chunks)
}

// Add writes the chunk Next. It fails with ErrBad when it is not what the
// manifest says: fetch it again.
func (d *Download) Add(b []byte) error {
	i, ok := d.Next()
	if !ok {
		return fmt.Errorf("%w: all chunks are there", ErrBad)
	}
	c := d.manifest.Chunks[i]
	if int64(len(b)) != c.Size || sha256.Sum256(b) != c.Digest {
		return fmt.Errorf("%w: chunk %d differs from the manifest", ErrBad, i)
	}
	if _, err := d.file.WriteAt(b, d.size); err != nil {
		return fmt.Errorf("write chunk %d to %s: %w", i, d.path, err)
	}
	// What is written reaches the disk bit by bit: one large sync at the end
	// would hold up those of the log.
	if _, err := d.file.SyncTo(d.size + c.Size); err != nil {
		return fmt.Errorf("sync %s: %w", d.path, err)
	}
	d.have++
	d.size += c.Size
	return nil
}

// Finish makes the data durable under its path, all chunks of which are there;
// again it does nothing. An error of the disk means that it cannot be trusted.
func (d *Download) Finish() error {
	if i, ok := d.Next(); ok {
		return fmt.Errorf("%w: chunk %d is missing", ErrBad, i)
	}
	if d.file == nil {
		return nil
	}
	f := d.file
	d.file = nil
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", d.path, err)
	}
	return nil
}

// Close keeps what is there for another Resume; after Finish it does nothing.
func (d *Download) Close() error {
	if d.file == nil {
		return nil
	}
	f := d.file
	d.file = nil
	return f.Close()
}

// Remove gives the transfer up and removes what is there.
func (d *Download) Remove() error {
	return errors.Join(d.Close(), d.fs.Remove(d.path))
}
