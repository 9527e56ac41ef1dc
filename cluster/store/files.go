package store

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"quorumta/cluster/store/intact"
	"quorumta/cluster/store/mark"
	"quorumta/cluster/store/pagecache"
	"quorumta/cluster/store/tuning"
)

// The marks of the Pebbles' own files, in "marks/files": the number and the
// synced length of a MANIFEST, and the number of the WAL that the last start has
// made.
const (
	logManifest   = 0
	stateManifest = 1
	logWAL        = 2
)

// openPebbles opens both Pebbles after it has read what they would take for good
// though it is damaged (package intact).
func (s *Store) openPebbles() (err error) {
	path := s.path("marks", "files")
	s.files, err = mark.Open(mark.Options{FS: s.o.FS, Path: path, Log: s.o.Log, Fail: s.fail})
	if err != nil {
		return err
	}
	var created atomic.Uint64 // the newest WAL of the log
	tune := s.tuning()
	options := tune.Log()
	options.FS = pagecache.Forget(options.FS) // what it writes is read again by chance only
	options.EventListener.WALCreated = func(i pebble.WALCreateInfo) { created.Store(uint64(i.FileNum)) }
	since, err := s.files.Shard(logWAL, false)
	if err != nil {
		return err
	}
	wal, _ := since.Value()
	if s.log, err = s.openPebble("log", options, logManifest, wal); err != nil {
		return err
	}
	// Nothing has been written to it yet, so that those before it are done with.
	if err := since.Lower(created.Load(), 0); err != nil {
		return err
	}
	if s.state, err = s.openPebble("state", tune.State(), stateManifest, 0); err != nil {
		return err
	}
	return s.inspect()
}

// tuning is how the two Pebbles are set, and what they tell.
func (s *Store) tuning() tuning.Node {
	return tuning.Node{
		FS:          s.o.FS,
		Cache:       s.cache,
		MemoryBytes: s.o.MemoryBytes,
		Fatal:       func(_ string, err error) { _ = s.fail(err) },
		Background:  s.failBackground,
		Stalled:     func() { s.stalls.Add(1) },
		Logger:      s.o.Log,
	}
}

// openPebble opens one Pebble.
func (s *Store) openPebble(what string, o *pebble.Options, manifest uint16, wal uint64) (*pebble.DB, error) {
	dir := s.path(what)
	m, err := s.files.Shard(manifest, false)
	if err != nil {
		return nil, err
	}
	number, bytes := m.Value()
	known := intact.Known{Manifest: intact.Length{Number: number, Bytes: int64(bytes)}, WAL: wal}
	if err := intact.Check(s.o.FS, dir, known); err != nil {
		return nil, fmt.Errorf("open %s: %w", what, err)
	}
	o.FS = intact.Watch(o.FS, func(l intact.Length) { m.Raise(l.Number, uint64(l.Bytes)) })
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open %s in %s: %w", what, dir, s.named(what, err))
	}
	return db, nil
}

// closePebbles closes what openPebbles has opened, also after it has failed.
func (s *Store) closePebbles() (err error) {
	if s.wedged.Load() { // closing would wait for ever
		return errors.Join(s.Err(), s.files.Close())
	}
	if s.state != nil {
		err = s.closePebble("state", s.state)
	}
	if s.log != nil {
		err = errors.Join(err, s.closePebble("log", s.log))
	}
	if s.files != nil {
		err = errors.Join(err, s.files.Close())
	}
	return err
}

func (s *Store) closePebble(what string, db *pebble.DB) (err error) {
	// After a read that has failed Pebble may believe that somebody still reads.
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(fmt.Errorf("close %s: %v", what, p), s.Err())
		}
	}()
	if err := db.Close(); err != nil {
		return fmt.Errorf("close %s: %w", what, err)
	}
	return nil
}

// named adds the damaged file to an error of the Pebble in the directory, where
// it tells which one.
func (s *Store) named(dir string, err error) error {
	return intact.Named(s.o.FS, s.path(dir), err)
}
