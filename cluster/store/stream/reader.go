package stream

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// ErrBad: what was read is not a stream, or not a whole one. Fetch it again.
var ErrBad = errors.New("bad snapshot stream")

// Reader reads a stream and believes nothing that it was not shown a checksum
// for. All errors of its own wrap ErrBad.
type Reader struct {
	r      *bufio.Reader
	part   bytes.Buffer
	last   []byte // the last key
	pairs  uint64
	digest *Digest
}

// NewReader reads from r, which ends where the stream does.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 64<<10), digest: NewDigest()}
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrBad, fmt.Errorf(format, args...))
}

// checked reads n bytes and their checksum, which also covers before. Memory
// grows with what has arrived, not with what was announced. What it returns is
// valid until the next call.
func (r *Reader) checked(what string, before []byte, n int) ([]byte, error) {
	r.part.Reset()
	if _, err := io.CopyN(&r.part, r.r, int64(n)+sumSize); err != nil {
		return nil, bad("%s is cut short: %w", what, err)
	}
	b := r.part.Bytes()
	if binary.BigEndian.Uint32(b[n:]) != crc32.Update(crc32.Checksum(before, castagnoli), castagnoli, b[:n]) {
		return nil, bad("%s has a wrong checksum", what)
	}
	return b[:n], nil
}

// Header reads the header. It comes first.
func (r *Reader) Header() (Header, error) {
	b := make([]byte, headerFixed)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return Header{}, bad("header is cut short: %w", err)
	}
	if string(b[:4]) != magic {
		return Header{}, bad("it does not begin with %s", magic)
	}
	if v := binary.BigEndian.Uint16(b[4:]); v != version {
		return Header{}, bad("it has version %d, and this program reads version %d", v, version)
	}
	cluster, err := r.checked("header", b, int(binary.BigEndian.Uint16(b[headerFixed-2:])))
	if err != nil {
		return Header{}, err
	}
	return Header{
		Cluster: string(cluster),
		Shard:   binary.BigEndian.Uint16(b[6:]),
		Applied: binary.BigEndian.Uint64(b[8:]),
		Term:    binary.BigEndian.Uint64(b[16:]),
		Chain:   [32]byte(b[24:]),
		Lineage: [16]byte(b[56:]),
	}, nil
}

// Body calls f for every pair of each frame whose checksum agrees, and returns
// nil when the trailer agrees with all of them and nothing follows it. Key and
// value are valid during the call only. An error of f ends it.
func (r *Reader) Body(f func(key, value []byte) error) error {
	for {
		var length [4]byte
		if _, err := io.ReadFull(r.r, length[:]); err != nil {
			return bad("it ends after %d pairs: %w", r.pairs, err)
		}
		n := binary.BigEndian.Uint32(length[:])
		if n == 0 {
			return r.trailer(length[:])
		}
		if n > frameMax {
			return bad("a frame of %d bytes", n)
		}
		b, err := r.checked("frame", length[:], int(n))
		if err != nil {
			return err
		}
		if err := r.split(b, f); err != nil {
			return err
		}
	}
}

// Verify reads the rest of the stream and keeps nothing.
func (r *Reader) Verify() error {
	return r.Body(func(_, _ []byte) error { return nil })
}

// Sum is the number of the pairs and their SHA-256, once Body or Verify has
// returned nil.
func (r *Reader) Sum() (pairs uint64, digest [32]byte) { return r.pairs, r.digest.Sum() }

// split takes the pairs of a frame apart.
func (r *Reader) split(b []byte, f func(key, value []byte) error) error {
	for len(b) > 0 {
		var pair [2][]byte
		for i := range pair {
			n, w := binary.Uvarint(b)
			if w <= 0 || n > uint64(len(b)-w) {
				return bad("a pair is cut short")
			}
			pair[i], b = b[w:w+int(n)], b[w+int(n):]
		}
		key, value := pair[0], pair[1]
		if r.pairs > 0 && bytes.Compare(key, r.last) <= 0 {
			return bad("its keys do not ascend")
		}
		r.last = append(r.last[:0], key...)
		r.pairs++
		r.digest.Add(key, value)
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) trailer(zero []byte) error {
	b, err := r.checked("trailer", zero, trailerSize)
	if err != nil {
		return err
	}
	if n := binary.BigEndian.Uint64(b); n != r.pairs {
		return bad("it has %d pairs instead of %d", r.pairs, n)
	}
	if sum := r.digest.Sum(); !bytes.Equal(sum[:], b[8:]) {
		return bad("its digest differs")
	}
	switch _, err := r.r.ReadByte(); {
	case err == nil:
		return bad("something follows the trailer")
	case !errors.Is(err, io.EOF):
		return bad("after the trailer: %w", err)
	}
	return nil
}
