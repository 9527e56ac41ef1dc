// Package intact finds damage that Pebble takes for the end of a file. Its
// MANIFEST and WALs are read until something does not make sense; what lies
// behind it counts as never written. That is right for the tail that a crash has
// torn, and wrong for everything else: a flipped byte in the MANIFEST makes a
// store that forgets tables, a cut WAL one that forgets votes.
//
// So the files are read once before Pebble opens them, and nothing is changed:
//
//   - The MANIFEST must be whole up to the length that was synced last, which
//     Watch tells and a mark in a file of its own remembers.
//   - Every WAL but the newest must end with Pebble's trailer, for it was closed
//     before the next one was begun.
//   - The newest WAL must not be damaged before a place that it says to have
//     synced. What is missing from its very end is not seen here: the marks of
//     the logs tell it.
package intact

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
	"github.com/cockroachdb/pebble/v2/wal"
)

// ErrDamaged: a file of Pebble is not what was synced. Nothing of the store can
// be relied on; the node rejoins as new.
var ErrDamaged = errors.New("the file is damaged; let the node rejoin as new: empty its data directory, then quorumta cluster join")

// Known is what is known of a Pebble from another place than its own files.
type Known struct {
	// Manifest is what Watch has told last.
	Manifest Length
	// WAL is the number of the WAL that was made when the Pebble was opened last.
	// What is in older ones has been moved to tables.
	WAL uint64
}

// Length is how much of a MANIFEST has been synced: its number and its bytes.
type Length struct {
	Number uint64
	Bytes  int64
}

const (
	manifestPrefix = "MANIFEST-"
	markerName     = "manifest"
	// A WAL's trailer is a chunk's header, of this many bytes at least.
	trailerSize = 11
)

// Check reads the MANIFEST and the WALs in the directory of a Pebble. Errors name
// the file; those of what it has found wrap ErrDamaged.
func Check(fs vfs.FS, dir string, known Known) error {
	if err := checkManifest(fs, dir, known.Manifest); err != nil {
		return err
	}
	return checkWALs(fs, dir, known.WAL)
}

// checkManifest reads the MANIFEST that counts.
func checkManifest(fs vfs.FS, dir string, synced Length) error {
	name, err := atomicfs.ReadMarker(fs, dir, markerName)
	if err != nil {
		return err
	}
	if name == "" {
		if synced.Number > 0 {
			return fmt.Errorf("%s: no MANIFEST is marked as the current one: %w", dir, ErrDamaged)
		}
		return nil // a new store
	}
	path := fs.PathJoin(dir, name)
	number, err := strconv.ParseUint(strings.TrimPrefix(name, manifestPrefix), 10, 64)
	if err != nil {
		return fmt.Errorf("%s is not the name of a MANIFEST: %w", path, ErrDamaged)
	}
	m, err := read(fs, path, 0)
	switch {
	case err != nil:
		return err
	case m.good == 0:
		return fmt.Errorf("%s has no beginning: %w", path, ErrDamaged)
	case number == synced.Number && m.good < synced.Bytes:
		return fmt.Errorf("%s is good for %d bytes, and %d were synced: %w", path, m.good, synced.Bytes, ErrDamaged)
	}
	// What is torn behind that was being written when the node ended: nobody has
	// acted on it.
	return nil
}

// checkWALs reads the WALs from the number on.
func checkWALs(fs vfs.FS, dir string, since uint64) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	paths := map[uint64]string{}
	var numbers []uint64
	for _, name := range names {
		if n, _, ok := wal.ParseLogFilename(name); ok && uint64(n) >= since {
			paths[uint64(n)] = fs.PathJoin(dir, name)
			numbers = append(numbers, uint64(n))
		}
	}
	slices.Sort(numbers)
	open := "" // the newest that lacks its trailer
	for _, n := range numbers {
		path := paths[n]
		f, err := read(fs, path, n)
		switch {
		case err != nil:
			return err
		case f.damaged:
			return fmt.Errorf("%s from byte %d on: %w", path, f.good, ErrDamaged)
		case f.good > 0 && open != "":
			return fmt.Errorf("%s was closed and has no end: %w", open, ErrDamaged)
		case !f.closed:
			open = path
		}
	}
	return nil
}

// file is what was found in a file of records.
type file struct {
	good    int64 // where the last good record ends
	closed  bool  // it has a trailer
	damaged bool  // what follows shows that more had been synced
}

// read reads a file of records to its end.
func read(fs vfs.FS, path string, number uint64) (found file, err error) {
	f, err := fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return found, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return found, err
	}
	r := records(record.NewReader, f, number)
	for err == nil {
		var in io.Reader
		if in, err = r.Next(); err == nil {
			_, err = io.Copy(io.Discard, in)
		}
		if err == nil {
			found.good = r.Offset()
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		found.closed = info.Size()-found.good >= trailerSize
	case errors.Is(err, record.ErrUnexpectedEOF): // torn, or cut
	case errors.Is(err, record.ErrInvalidChunk), errors.Is(err, record.ErrZeroedChunk):
		found.damaged = true
	default:
		return found, fmt.Errorf("read %s: %w", path, err)
	}
	return found, nil
}

// records calls Pebble's constructor, whose type of numbers has no name outside.
func records[N ~uint64](make func(io.Reader, N) *record.Reader, r io.Reader, number uint64) *record.Reader {
	return make(r, N(number))
}
