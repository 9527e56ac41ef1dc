package wire

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

const (
	// smallBuffer is what a waiting connection holds; it is enlarged where
	// command lines may be longer.
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

// reader buffers what a client sends. Before each read that may wait it calls
// before, which flushes replies and sets the deadline.
type reader struct {
	src    io.Reader
	before func() error
	pool   *sync.Pool // of *[]byte of largeBuffer; Get may give nil
	buf    []byte
	r, w   int     // buf[r:w] is unread
	large  *[]byte // buf, if it is of the pool
	small  []byte  // the other buffer meanwhile
	total  int64   // octets read so far
}

// buffered is what can be read without waiting.
func (r *reader) buffered() []byte { return r.buf[r.r:r.w] }

func (r *reader) advance(n int) { r.r += n }

// fill waits for more input, which may be any number of octets above zero.
func (r *reader) fill() error {
	if r.buf == nil {
		r.buf = make([]byte, smallBuffer)
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

// enlarge takes a large buffer for content.
func (r *reader) enlarge() {
	if r.large != nil {
		return
	}
	if r.large, _ = r.pool.Get().(*[]byte); r.large == nil {
		b := make([]byte, largeBuffer)
		r.large = &b
	}
	r.small = r.buf
	r.w = copy(*r.large, r.buf[r.r:r.w])
	r.r = 0
	r.buf = *r.large
}

// shrink gives the large buffer back, if what is unread fits the small one.
func (r *reader) shrink() {
	if r.large == nil || r.w-r.r > len(r.small) {
		return
	}
	r.w = copy(r.small, r.buf[r.r:r.w])
	r.r = 0
	r.buf, r.small = r.small, nil
	r.pool.Put(r.large)
	r.large = nil
}

// release gives all memory back; the reader is not used any more.
func (r *reader) release() {
	if r.large != nil {
		r.pool.Put(r.large)
	}
	r.buf, r.small, r.large, r.r, r.w = nil, nil, nil, 0, 0
}

// line reads a command line of at most limit octets with its CR LF and returns
// it without them; it is valid until the next call. A line that ends with LF
// alone is over, too: a client that sends such lines waits for an answer.
func (r *reader) line(limit int) ([]byte, error) {
	if len(r.buf) < limit {
		r.grow(limit)
	}
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

func (r *reader) grow(size int) {
	b := make([]byte, max(size, smallBuffer))
	r.w = copy(b, r.buf[r.r:r.w])
	r.r = 0
	r.buf = b
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
