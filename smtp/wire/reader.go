package wire

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"syscall"
)

const (
	// smallBuffer is what commands are read into, if they are not longer.
	smallBuffer = 4 << 10
	// largeBuffer is used while content comes in.
	largeBuffer = 64 << 10
	// endless is how many times its limit a line may exceed before it is not
	// waited for any longer.
	endless = 32
)

// What is wrong with a command line. All but errEndless leave the reader
// behind the line.
var (
	errBareLF   = errors.New("a line ended with LF alone")
	errBareCR   = errors.New("a line has CR without LF")
	errNUL      = errors.New("a line has NUL")
	errTooLong  = errors.New("a line is too long")
	errEndless  = errors.New("a line does not end")
	errNoBuffer = errors.New("the read buffer is full")
)

// buffers are what readers share.
type buffers struct {
	small, large sync.Pool // of *[]byte
}

// reader buffers what a client sends. Before each read that may wait it calls
// before, which flushes replies and sets the deadline.
type reader struct {
	src    io.Reader
	raw    syscall.RawConn // of src, if it can be waited for without a buffer
	before func() error
	pools  *buffers
	room   int                   // of the small buffer: at least that of a command line
	ready  func(fd uintptr) bool // tryRead
	failed error                 // what tryRead came to

	buf   []byte
	held  *[]byte // buf, if it is of the pools
	large bool
	r, w  int   // buf[r:w] is unread
	total int64 // octets read so far
}

// buffered is what can be read without waiting.
func (r *reader) buffered() []byte { return r.buf[r.r:r.w] }

func (r *reader) advance(n int) { r.r += n }

// fill waits for more input, which may be any number of octets above zero.
func (r *reader) fill() error {
	if r.r == r.w && !r.large && r.raw != nil {
		return r.await()
	}
	if r.buf == nil {
		r.swap(&r.pools.small, r.room)
	}
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if r.w == len(r.buf) {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	if r.w == len(r.buf) {
		return errNoBuffer
	}
	if err := r.before(); err != nil {
		return err
	}
	for range 100 {
		n, err := r.src.Read(r.buf[r.w:])
		r.w += n
		r.total += int64(n)
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// need waits until n octets are buffered; n is small.
func (r *reader) need(n int) error {
	for r.w-r.r < n {
		if err := r.fill(); err != nil {
			return err
		}
	}
	return nil
}

// await waits for input and has no buffer until there is some: most
// connections wait most of the time.
func (r *reader) await() error {
	if err := r.before(); err != nil {
		return err
	}
	r.release()
	if r.ready == nil {
		r.ready = r.tryRead
	}
	if err := r.raw.Read(r.ready); err != nil {
		return err
	}
	return r.failed
}

// tryRead reads if there is something to read, and reports whether it has come
// to a result; the buffer is given back if not.
func (r *reader) tryRead(fd uintptr) bool {
	r.swap(&r.pools.small, r.room)
	n, err := syscall.Read(int(fd), r.buf)
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), r.buf)
	}
	switch {
	case err == syscall.EAGAIN:
		r.release()
		return false
	case err == nil && n == 0:
		err = io.EOF
	case err == nil:
		r.w = n
		r.total += int64(n)
	}
	r.failed = err
	return true
}

// swap takes another buffer for what is unread, and gives the old one back.
func (r *reader) swap(pool *sync.Pool, size int) {
	p, _ := pool.Get().(*[]byte)
	if p == nil || len(*p) < size {
		b := make([]byte, size)
		p = &b
	}
	n := copy(*p, r.buffered())
	r.release()
	r.held, r.buf, r.w = p, *p, n
}

// release gives the buffer back with what is unread in it.
func (r *reader) release() {
	switch {
	case r.held == nil:
	case r.large:
		r.pools.large.Put(r.held)
	default:
		r.pools.small.Put(r.held)
	}
	r.held, r.buf, r.large, r.r, r.w = nil, nil, false, 0, 0
}

// enlarge takes a large buffer for content.
func (r *reader) enlarge() {
	if !r.large {
		r.swap(&r.pools.large, largeBuffer)
		r.large = true
	}
}

// shrink gives the large buffer back, if what is unread fits the small one.
func (r *reader) shrink() {
	if r.large && r.w-r.r <= r.room {
		r.swap(&r.pools.small, r.room)
	}
}

// line reads a command line of at most limit octets with its CR LF and returns
// it without them; it is valid until the next call. A line that ends with LF
// alone is over, too: a client that sends such lines waits for an answer.
func (r *reader) line(limit int) ([]byte, error) {
	searched := 0
	for {
		b := r.buffered()
		if i := bytes.IndexByte(b[searched:], '\n'); i >= 0 {
			end := searched + i + 1
			r.advance(end)
			if end > limit {
				return nil, errTooLong
			}
			return checkLine(b[:end])
		}
		if len(b) >= limit {
			return nil, r.skipLine(limit)
		}
		searched = len(b)
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// skipLine drops a line that is too long.
func (r *reader) skipLine(limit int) error {
	for skipped := 0; skipped < limit*endless; {
		b := r.buffered()
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			r.advance(i + 1)
			return errTooLong
		}
		skipped += len(b)
		r.advance(len(b))
		if err := r.fill(); err != nil {
			return err
		}
	}
	return errEndless
}

func checkLine(b []byte) ([]byte, error) {
	if len(b) < 2 || b[len(b)-2] != '\r' {
		return nil, errBareLF
	}
	b = b[:len(b)-2]
	if bytes.IndexByte(b, '\r') >= 0 {
		return nil, errBareCR
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return nil, errNUL
	}
	return b, nil
}
