// Package stream is the form in which a state travels to another member.
//
// A stream is a header, frames of pairs in ascending order of their keys, and a
// trailer:
//
//	header   magic 4 · version 2 · shard 2 · applied 8 · term 8 · chain 32 ·
//	         lineage 16 · length of cluster 2 · cluster · CRC32C 4
//	frame    length 4 · pairs · CRC32C 4
//	pair     uvarint length of key · key · uvarint length of value · value
//	trailer  0 4 · number of pairs 8 · SHA-256 of the pairs 32 · CRC32C 4
//
// Numbers are big-endian. A checksum covers what follows the one before it. The
// SHA-256 is a Digest. Magic and version stay where they are for ever.
package stream

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
)

const (
	magic       = "QTSS"
	version     = 2
	headerFixed = 4 + 2 + 2 + 8 + 8 + 32 + 16 + 2
	frameFull   = 256 << 10 // a frame is ended when its pairs reach this
	frameMax    = 64 << 20  // what a reader takes
	trailerSize = 8 + 32
	sumSize     = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header says what a stream is of.
type Header struct {
	Cluster string
	Shard   uint16
	// Lineage tells the state from that of a restored backup.
	Lineage [16]byte
	// Applied and Term are of the last entry in the state, Chain is the running
	// digest after it.
	Applied, Term uint64
	Chain         [32]byte
}

// Encode is the header as a stream begins with it.
func (h Header) Encode() ([]byte, error) {
	if len(h.Cluster) > math.MaxUint16 {
		return nil, fmt.Errorf("a cluster id of %d bytes", len(h.Cluster))
	}
	b := append(make([]byte, 0, headerFixed+len(h.Cluster)+sumSize), magic...)
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint16(b, h.Shard)
	b = binary.BigEndian.AppendUint64(b, h.Applied)
	b = binary.BigEndian.AppendUint64(b, h.Term)
	b = append(b, h.Chain[:]...)
	b = append(b, h.Lineage[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.Cluster)))
	return appendSum(append(b, h.Cluster...)), nil
}

// appendSum appends the checksum of b.
func appendSum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Digest sums pairs up: each enters as the lengths of key and value, 4 bytes
// big-endian each, then both.
type Digest struct {
	hash    hash.Hash
	lengths [8]byte
}

// NewDigest is the digest of nothing.
func NewDigest() *Digest { return &Digest{hash: sha256.New()} }

// Add adds a pair.
func (d *Digest) Add(key, value []byte) {
	binary.BigEndian.PutUint32(d.lengths[:4], uint32(len(key)))
	binary.BigEndian.PutUint32(d.lengths[4:], uint32(len(value)))
	_, _ = d.hash.Write(d.lengths[:]) // a hash never fails
	_, _ = d.hash.Write(key)
	_, _ = d.hash.Write(value)
}

// Sum is the SHA-256 of the pairs so far.
func (d *Digest) Sum() [32]byte { return [32]byte(d.hash.Sum(nil)) }

// Sizer tells the exact length of a stream from the lengths of its pairs.
type Sizer struct {
	total int64
	frame int64
}

// NewSizer begins with the header.
func NewSizer(h Header) *Sizer {
	return &Sizer{total: int64(headerFixed + len(h.Cluster) + sumSize)}
}

// Add adds a pair of the lengths, in the order of Writer.Pair.
func (s *Sizer) Add(key, value int) {
	s.frame += pairSize(key, value)
	if s.frame >= frameFull {
		s.total, s.frame = s.total+4+s.frame+sumSize, 0
	}
}

// Total is the length of the stream of the pairs so far.
func (s *Sizer) Total() int64 {
	total := s.total + 4 + trailerSize + sumSize
	if s.frame > 0 {
		total += 4 + s.frame + sumSize
	}
	return total
}

func pairSize(key, value int) int64 {
	return int64(uvarintLen(uint64(key)) + key + uvarintLen(uint64(value)) + value)
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// Writer writes a stream and keeps the first error.
type Writer struct {
	w      io.Writer
	n      int64
	err    error
	frame  []byte // room for the length, then pairs
	pairs  uint64
	digest *Digest // nil where there will be no trailer
}

// Resume writes frames only, from a pair that began one: what a NewWriter wrote
// from there on. Flush ends them; there is no trailer.
func Resume(w io.Writer) *Writer { return &Writer{w: w} }

// NewWriter writes the header.
func NewWriter(w io.Writer, h Header) *Writer {
	out := &Writer{w: w, digest: NewDigest()}
	b, err := h.Encode()
	if out.err = err; err == nil {
		out.write(b)
	}
	return out
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.w.Write(b)
	w.n, w.err = w.n+int64(n), err
}

// Pair writes a pair; its key is above the one before. Key and value are not
// kept.
func (w *Writer) Pair(key, value []byte) error {
	if w.err == nil && pairSize(len(key), len(value)) > frameMax-frameFull {
		w.err = fmt.Errorf("key %q has a value of %d bytes, more than a stream carries", key, len(value))
	}
	if w.err != nil {
		return w.err
	}
	if len(w.frame) == 0 {
		w.frame = append(w.frame, 0, 0, 0, 0)
	}
	w.frame = append(binary.AppendUvarint(w.frame, uint64(len(key))), key...)
	w.frame = append(binary.AppendUvarint(w.frame, uint64(len(value))), value...)
	w.pairs++
	if w.digest != nil {
		w.digest.Add(key, value)
	}
	if len(w.frame)-4 >= frameFull {
		return w.Flush()
	}
	return w.err
}

// Flush ends the frame.
func (w *Writer) Flush() error {
	if len(w.frame) == 0 {
		return w.err
	}
	binary.BigEndian.PutUint32(w.frame, uint32(len(w.frame)-4))
	w.frame = appendSum(w.frame)
	w.write(w.frame)
	w.frame = w.frame[:0]
	return w.err
}

// Close writes the trailer and returns the length of the stream. It does not
// close what it writes to.
func (w *Writer) Close() (int64, error) {
	_ = w.Flush() // is kept
	b := binary.BigEndian.AppendUint64(make([]byte, 4, 4+trailerSize+sumSize), w.pairs)
	sum := w.digest.Sum()
	w.write(appendSum(append(b, sum[:]...)))
	return w.n, w.err
}
