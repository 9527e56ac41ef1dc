// Package keyfile reads keys and secrets from files that are their owner's
// alone, and reads them again when they change.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Store holds what was read from files; safe for concurrent use.
type Store[T any] struct {
	parse func(text []byte) (T, error)
	now   func() time.Time
	fault func(path string, err error)

	mu    sync.RWMutex // owns files
	files map[string]*file[T]
}

// file is what was read from one.
type file[T any] struct {
	value   T
	stamp   stamp
	checked time.Time
}

// stamp tells whether a file has changed.
type stamp struct {
	modified time.Time
	size     int64
}

// ErrShared means that others may read a file.
var ErrShared = errors.New("it may be read by others: chmod 600 it")

const (
	// checkEvery is how often a file is looked at in use.
	checkEvery = time.Second
	// maxSize is the largest file that is read.
	maxSize = 64 << 10
)

// New makes a Store of what parse makes of a file's text. fault is told of a
// file that has changed into one that cannot be used: what it held before stays
// in use. now is the clock.
func New[T any](parse func([]byte) (T, error), now func() time.Time, fault func(path string, err error)) *Store[T] {
	return &Store[T]{parse: parse, now: now, fault: fault, files: map[string]*file[T]{}}
}

// Get is what the file holds now, or held a second ago. The error tells of a
// file that could not be used since this Store knows it; it may wrap
// fs.ErrNotExist and ErrShared.
func (s *Store[T]) Get(path string) (T, error) {
	now := s.now()
	s.mu.RLock()
	f := s.files[path]
	if f != nil && now.Sub(f.checked) < checkEvery {
		defer s.mu.RUnlock()
		return f.value, nil
	}
	s.mu.RUnlock()
	return s.look(path, now)
}

// look reads a file that is not known, or has changed.
func (s *Store[T]) look(path string, now time.Time) (T, error) {
	value, mark, err := s.read(path, s.known(path))
	s.mu.Lock()
	f := s.files[path]
	switch {
	case err == nil && mark == (stamp{}) && f != nil: // as it was
		f.checked = now
		value = f.value
	case err == nil:
		s.files[path] = &file[T]{value, mark, now}
	case f == nil:
	case errors.Is(err, fs.ErrNotExist):
		delete(s.files, path) // taken away for good
	default:
		f.checked = now
		value = f.value
		s.mu.Unlock()
		s.fault(path, err)
		return value, nil
	}
	s.mu.Unlock()
	return value, err
}

func (s *Store[T]) known(path string) stamp {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if f := s.files[path]; f != nil {
		return f.stamp
	}
	return stamp{}
}

// read reads a file; the stamp is zero where that would be what is known.
func (s *Store[T]) read(path string, have stamp) (value T, mark stamp, err error) {
	f, err := os.Open(path)
	if err != nil {
		return value, mark, fmt.Errorf("read the key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return value, mark, fmt.Errorf("read the key: %w", err)
	case !info.Mode().IsRegular():
		return value, mark, fmt.Errorf("read the key: %s is no file", path)
	case info.Mode().Perm()&0o077 != 0:
		return value, mark, fmt.Errorf("read the key %s (mode %o): %w", path, info.Mode().Perm(), ErrShared)
	}
	mark = stamp{info.ModTime(), info.Size()}
	if mark == have {
		return value, stamp{}, nil
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSize))
	if err != nil {
		return value, mark, fmt.Errorf("read the key: %w", err)
	}
	if value, err = s.parse(text); err != nil {
		return value, mark, fmt.Errorf("read the key %s: %w", path, err)
	}
	return value, mark, nil
}
