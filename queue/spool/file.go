package spool

import (
	"fmt"
	"io"
	"os"
)

// File is the spooled content. It is used by one goroutine at a time.
type File struct {
	f    *os.File
	size int64
}

// Create makes an empty file without a name in dir ("": the system's
// directory for temporary files), so that a crash leaves nothing behind.
func Create(dir string) (*File, error) {
	f, err := os.CreateTemp(dir, "upload-*")
	if err != nil {
		return nil, fmt.Errorf("make spool file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("unlink spool file: %w", err)
	}
	return &File{f: f}, nil
}

// Write appends p.
func (s *File) Write(p []byte) (int, error) {
	n, err := s.f.WriteAt(p, s.size)
	s.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("write spool file: %w", err)
	}
	return n, nil
}

// Reader reads what has been written so far, from its start.
func (s *File) Reader() io.Reader { return io.NewSectionReader(s.f, 0, s.size) }

// Close gives the file up.
func (s *File) Close() error { return s.f.Close() }
