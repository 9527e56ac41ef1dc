package content

import (
	"crypto/sha256"
	"hash"
	"io"
)

// Sum is the SHA-256 of content up to the end of a part.
type Sum = [sha256.Size]byte

// Reader reads parts one after the other. It is used by one goroutine.
type Reader struct {
	digest Sum
	parts  uint32
	load   func(n uint32) ([]byte, error)
	mend   func(given []Sum) ([]byte, error)

	sum   hash.Hash
	given []Sum // up to the end of each part that was given out
	left  []byte
	err   error
}

// NewReader makes a reader of that many parts. load loads one. The last part
// is given out only when the whole has the digest; if it has another one, mend
// is told what was given out before, and returns the right last part for that,
// or the error that Read fails with.
func NewReader(parts uint32, digest Sum, load func(n uint32) ([]byte, error), mend func(given []Sum) ([]byte, error)) *Reader {
	return &Reader{digest: digest, parts: parts, load: load, mend: mend, sum: sha256.New()}
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
	n := uint32(len(r.given))
	if n == r.parts {
		return nil, io.EOF
	}
	b, err := r.load(n)
	if err != nil {
		return nil, err
	}
	r.sum.Write(b)
	sum := Sum(r.sum.Sum(nil))
	if n+1 == r.parts && sum != r.digest {
		if b, err = r.mend(r.given); err != nil {
			return nil, err
		}
		sum = r.digest
	}
	r.given = append(r.given, sum)
	return b, nil
}

// Close implements io.Closer.
func (r *Reader) Close() error {
	r.left, r.err = nil, io.ErrClosedPipe
	return nil
}

// Verify reads all parts and compares their digest. It returns the sums up to
// the end of each, and the last part.
func Verify(parts uint32, digest Sum, load func(n uint32) ([]byte, error)) (sums []Sum, last []byte, ok bool) {
	sum := sha256.New()
	for n := range parts {
		b, err := load(n)
		if err != nil {
			return nil, nil, false
		}
		sum.Write(b)
		sums, last = append(sums, Sum(sum.Sum(nil))), b
	}
	return sums, last, Sum(sum.Sum(nil)) == digest
}
