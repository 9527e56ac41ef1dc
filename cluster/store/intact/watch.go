package intact

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The end of a blob file, of which the last bytes never change:
//
//	CRC32C of the rest, masked as in LevelDB, 4 LE · places and formats 26 · magic 8
const (
	footerSize = 38
	footerSum  = 4
	blobMagic  = "\xf0\x9f\xaa\xb3\xf0\x9f\xa6\x80"
	maskDelta  = 0xa282ead8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Watch is the file system with two additions. synced is called whenever a
// MANIFEST has been synced, with its number and length, from whatever goroutine
// did it. And a blob file whose end is damaged cannot be opened: Pebble v2.1.7
// notices it too, but panics when it wants to say so.
func Watch(fs vfs.FS, synced func(Length)) vfs.FS { return watching{fs, synced} }

type watching struct {
	vfs.FS
	synced func(Length)
}

// Unwrap implements vfs.FS.
func (w watching) Unwrap() vfs.FS { return w.FS }

// Create implements vfs.FS.
func (w watching) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.Create(name, category)
	digits, ok := strings.CutPrefix(w.PathBase(name), manifestPrefix)
	if err != nil || !ok {
		return f, err
	}
	number, bad := strconv.ParseUint(digits, 10, 64)
	if bad != nil {
		return f, nil
	}
	return &manifest{File: f, number: number, synced: w.synced}, nil
}

// Open implements vfs.FS.
func (w watching) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := w.FS.Open(name, opts...)
	if err != nil || !strings.HasSuffix(name, ".blob") {
		return f, err
	}
	if err := checkBlob(f); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return f, nil
}

// checkBlob reads the end of a blob file.
func checkBlob(f vfs.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < footerSize {
		return fmt.Errorf("%d bytes are too few: %w", info.Size(), ErrDamaged)
	}
	b := make([]byte, footerSize)
	if _, err := f.ReadAt(b, info.Size()-footerSize); err != nil {
		return err
	}
	sum := crc32.Checksum(b[footerSum:], castagnoli)
	if !strings.HasSuffix(string(b), blobMagic) || binary.LittleEndian.Uint32(b) != (sum>>15|sum<<17)+maskDelta {
		return fmt.Errorf("it has no proper end: %w", ErrDamaged)
	}
	return nil
}

// manifest counts what is written.
type manifest struct {
	vfs.File
	number uint64
	synced func(Length)
	bytes  atomic.Int64
}

// Write implements vfs.File.
func (m *manifest) Write(b []byte) (int, error) {
	n, err := m.File.Write(b)
	m.bytes.Add(int64(n))
	return n, err
}

// Sync implements vfs.File.
func (m *manifest) Sync() error { return m.sync(m.File.Sync) }

// SyncData implements vfs.File.
func (m *manifest) SyncData() error { return m.sync(m.File.SyncData) }

func (m *manifest) sync(sync func() error) error {
	n := m.bytes.Load() // what is written meanwhile may not be synced
	err := sync()
	if err == nil {
		m.synced(Length{Number: m.number, Bytes: n})
	}
	return err
}
