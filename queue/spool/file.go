package spool

import (
	"fmt"
	"io"
	"os"
)

// mostIdle bounds the files that wait to be used again.
const mostIdle = 64

// Room makes files in one directory, and uses again those that were given up: to
// make an inode and to end it took a millisecond of ext4, which passes by all that
// were ended within the last seconds. Its methods may be called from any goroutine.
type Room struct {
	dir  string
	idle chan *os.File // empty
}

// NewRoom makes a room in dir ("": the system's directory for temporary files).
func NewRoom(dir string) *Room { return &Room{dir: dir, idle: make(chan *os.File, mostIdle)} }

// File is the spooled content. It is used by one goroutine at a time.
type File struct {
	room *Room
	f    *os.File // nil after Close
	size int64
}

// Create makes an empty file without a name, so that a crash leaves nothing behind.
func (r *Room) Create() (*File, error) {
	select {
	case f := <-r.idle:
		return &File{room: r, f: f}, nil
	default:
	}
	f, err := os.CreateTemp(r.dir, "upload-*")
	if err != nil {
		return nil, fmt.Errorf("make spool file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("unlink spool file: %w", err)
	}
	return &File{room: r, f: f}, nil
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

// Close gives the file up. Nothing of it is left.
func (s *File) Close() error {
	f := s.f
	if f == nil {
		return nil
	}
	s.f = nil
	if f.Truncate(0) == nil {
		select {
		case s.room.idle <- f:
			return nil
		default:
		}
	}
	return f.Close()
}
