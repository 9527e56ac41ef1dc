package telemetry

import (
	"io"
	"sync"
	"time"
)

const (
	// lineDelay is how long a line of the log may wait for others, and lineRoom
	// how many bytes may wait: a busy node writes several lines a message.
	lineDelay = 10 * time.Millisecond
	lineRoom  = 32 << 10
)

// lines writes lines of the log together. What is not flushed yet is lost when
// the process is killed.
type lines struct {
	to io.Writer

	mu      sync.Mutex
	waiting []byte
	bell    *time.Timer
}

func newLines(to io.Writer) *lines { return &lines{to: to} }

// Write implements io.Writer. It takes whole lines, and tells no error of those
// that wait.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.ringLocked()
	}
	l.waiting = append(l.waiting, p...)
	if len(l.waiting) < lineRoom {
		return len(p), nil
	}
	return len(p), l.flushLocked()
}

// ringLocked has the lines written when they have waited long enough.
func (l *lines) ringLocked() {
	if l.bell == nil {
		l.bell = time.AfterFunc(lineDelay, l.Flush)
		return
	}
	l.bell.Reset(lineDelay)
}

// Flush writes what waits. What cannot be written is given up: there is nobody
// to tell.
func (l *lines) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.flushLocked()
}

func (l *lines) flushLocked() error {
	if len(l.waiting) == 0 {
		return nil
	}
	_, err := l.to.Write(l.waiting)
	l.waiting = l.waiting[:0]
	return err
}
