package content

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
)

// Reader reads parts one after the other. It is used by one goroutine.
type Reader struct {
	digest [32]byte
	parts  uint32
	load   func(n uint32) ([]byte, error)
	// damaged is asked for the error when the digest is wrong.
	damaged func() error

	sum  hash.Hash
	next uint32
	left []byte
	err  error
}

// NewReader makes a reader of that many parts. load loads one; damaged makes
// the error that Read fails with if the whole has another digest: the last
// part is given out only when it is right.
func NewReader(parts uint32, digest [32]byte, load func(n uint32) ([]byte, error), damaged func() error) *Reader {
	return &Reader{digest: digest, parts: parts, load: load, damaged: damaged, sum: sha256.New()}
}

// Read implements io.Reader.
func (r *Reader) Read(b []byte) (int, error) {
	for len(r.left) == 0 && r.err == nil {
		r.left, r.err = r.advance()
	}
	if len(r.left) == 0 {
		return 0, r.err
	}
	n := copy(b, r.left)
	r.left = r.left[n:]
	return n, nil
}

// advance loads the next part.
func (r *Reader) advance() ([]byte, error) {
	if r.next == r.parts {
		return nil, io.EOF
	}
	b, err := r.load(r.next)
	if err != nil {
		return nil, err
	}
	r.sum.Write(b)
	if r.next++; r.next == r.parts && !bytes.Equal(r.sum.Sum(nil), r.digest[:]) {
		return nil, r.damaged()
	}
	return b, nil
}

// Close implements io.Closer.
func (r *Reader) Close() error {
	r.left, r.err = nil, io.ErrClosedPipe
	return nil
}
