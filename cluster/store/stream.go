package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// A snapshot stream is a header, frames of pairs in ascending order of their
// keys, and a trailer:
//
//	header   magic 4 · version 2 · shard 2 · applied 8 · term 8 · chain 32 ·
//	         lineage 16 · length of cluster 2 · cluster · CRC32C 4
//	frame    length 4 · pairs · CRC32C 4
//	pair     uvarint length of key · key · uvarint length of value · value
//	trailer  0 4 · number of pairs 8 · SHA-256 of the pairs 32 · CRC32C 4
//
// Numbers are big-endian. A checksum covers what follows the one before it. The
// SHA-256 is that of View.SHA256. Magic and version stay where they are for
// ever.
const (
	streamMagic   = "QTSS"
	streamVersion = 1
	headerFixed   = 4 + 2 + 2 + 8 + 8 + 32 + 16 + 2
	frameFull     = 256 << 10 // a frame is ended when its pairs reach this
	frameMax      = 64 << 20  // what a reader takes
	trailerSize   = 8 + 32
)

// header is the beginning of a stream.
type header struct {
	shard uint16
	head  head
}

func (h header) encode() []byte {
	b := append(make([]byte, 0, headerFixed+len(h.head.cluster)+4), streamMagic...)
	b = binary.BigEndian.AppendUint16(b, streamVersion)
	b = binary.BigEndian.AppendUint16(b, h.shard)
	b = binary.BigEndian.AppendUint64(b, h.head.applied)
	b = binary.BigEndian.AppendUint64(b, h.head.term)
	b = append(b, h.head.chain[:]...)
	b = append(b, h.head.lineage[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.head.cluster)))
	b = append(b, h.head.cluster...)
	return appendSum(b, 0)
}

// appendSum appends the checksum of b from the offset on.
func appendSum(b []byte, from int) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
}

// WriteTo writes the view as a snapshot stream: a header (cluster, shard,
// lineage, applied, chain), framed and checksummed pairs, a trailer. Size tells
// its exact length beforehand.
func (v *View) WriteTo(w io.Writer) (int64, error) {
	if v.snap == nil {
		return 0, fmt.Errorf("shard %d: the state is being restored", v.shard)
	}
	if len(v.head.cluster) > math.MaxUint16 {
		return 0, fmt.Errorf("shard %d: the cluster's id has %d bytes", v.shard, len(v.head.cluster))
	}
	out := &streamWriter{w: w, digest: newDigest()}
	out.write(header{v.shard, v.head}.encode())
	err := v.walk(func(it *pebble.Iterator) error {
		value, err := it.ValueAndErr()
		if err != nil {
			return v.store.fail(fmt.Errorf("read state: %w", err))
		}
		return out.pair(it.Key()[prefixLen:], value)
	})
	if err == nil {
		err = out.end()
	}
	if err != nil {
		return out.n, fmt.Errorf("write snapshot stream of shard %d: %w", v.shard, err)
	}
	return out.n, nil
}

// Size is the exact length of what WriteTo writes. It reads the keys only.
func (v *View) Size() (int64, error) {
	total := int64(headerFixed + len(v.head.cluster) + 4)
	var frame int64
	err := v.walk(func(it *pebble.Iterator) error {
		value := it.LazyValue()
		frame += pairSize(len(it.Key())-prefixLen, value.Len())
		if frame >= frameFull {
			total, frame = total+frame+8, 0
		}
		return nil
	})
	if frame > 0 {
		total += frame + 8
	}
	return total + 4 + trailerSize + 4, err
}

func pairSize(key, value int) int64 {
	return int64(uvarintLen(uint64(key)) + key + uvarintLen(uint64(value)) + value)
}

// walk calls f at each replicated key.
func (v *View) walk(f func(*pebble.Iterator) error) error {
	if v.snap == nil {
		return nil
	}
	from, to := bounds(v.shard, kindShared, nil, nil)
	it, err := v.snap.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return v.store.fail(fmt.Errorf("read state: %w", err))
	}
	for ok := it.First(); ok; ok = it.Next() {
		if err := f(it); err != nil {
			return errors.Join(err, it.Close())
		}
	}
	if err := it.Close(); err != nil {
		return v.store.fail(fmt.Errorf("read state: %w", err))
	}
	return nil
}

// streamWriter writes frames and keeps the first error.
type streamWriter struct {
	w      io.Writer
	n      int64
	err    error
	frame  []byte // room for the length, then pairs
	pairs  uint64
	digest *digest
}

func (s *streamWriter) write(b []byte) {
	if s.err != nil {
		return
	}
	n, err := s.w.Write(b)
	s.n, s.err = s.n+int64(n), err
}

func (s *streamWriter) pair(key, value []byte) error {
	if pairSize(len(key), len(value)) > frameMax-frameFull {
		return fmt.Errorf("key %q has a value of %d bytes, more than a stream carries", key, len(value))
	}
	if len(s.frame) == 0 {
		s.frame = append(s.frame, 0, 0, 0, 0)
	}
	s.frame = append(binary.AppendUvarint(s.frame, uint64(len(key))), key...)
	s.frame = append(binary.AppendUvarint(s.frame, uint64(len(value))), value...)
	s.pairs++
	s.digest.add(key, value)
	if len(s.frame)-4 >= frameFull {
		s.flush()
	}
	return s.err
}

func (s *streamWriter) flush() {
	if len(s.frame) == 0 {
		return
	}
	binary.BigEndian.PutUint32(s.frame, uint32(len(s.frame)-4))
	s.write(appendSum(s.frame, 0))
	s.frame = s.frame[:0]
}

func (s *streamWriter) end() error {
	s.flush()
	b := binary.BigEndian.AppendUint64(make([]byte, 4, 4+trailerSize+4), s.pairs)
	sum := s.digest.sum()
	s.write(appendSum(append(b, sum[:]...), 0))
	return s.err
}

// streamReader reads a stream and believes nothing that it was not shown a
// checksum for. All its errors wrap ErrStream.
type streamReader struct {
	r      *bufio.Reader
	frame  bytes.Buffer
	last   []byte // the last key
	pairs  uint64
	digest *digest
}

func newStreamReader(r io.Reader) *streamReader {
	return &streamReader{r: bufio.NewReaderSize(r, 64<<10), digest: newDigest()}
}

func badStream(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrStream, fmt.Errorf(format, args...))
}

// part reads n bytes and their checksum, which also covers before. Memory grows
// with what has arrived, not with what was announced. It is valid until the
// next call.
func (s *streamReader) part(what string, before []byte, n int) ([]byte, error) {
	s.frame.Reset()
	if _, err := io.CopyN(&s.frame, s.r, int64(n)+4); err != nil {
		return nil, badStream("%s is cut short: %w", what, err)
	}
	b := s.frame.Bytes()
	if binary.BigEndian.Uint32(b[n:]) != crc32.Update(crc32.Checksum(before, castagnoli), castagnoli, b[:n]) {
		return nil, badStream("%s has a wrong checksum", what)
	}
	return b[:n], nil
}

// header reads the header.
func (s *streamReader) header() (header, error) {
	b := make([]byte, headerFixed)
	if _, err := io.ReadFull(s.r, b); err != nil {
		return header{}, badStream("header is cut short: %w", err)
	}
	if string(b[:4]) != streamMagic {
		return header{}, badStream("it does not begin with %s", streamMagic)
	}
	if v := binary.BigEndian.Uint16(b[4:]); v != streamVersion {
		return header{}, badStream("it has version %d; a newer program wrote it", v)
	}
	cluster, err := s.part("header", b, int(binary.BigEndian.Uint16(b[headerFixed-2:])))
	if err != nil {
		return header{}, err
	}
	h := header{shard: binary.BigEndian.Uint16(b[6:]), head: head{
		cluster: string(cluster),
		applied: binary.BigEndian.Uint64(b[8:]),
		term:    binary.BigEndian.Uint64(b[16:]),
	}}
	copy(h.head.chain[:], b[24:])
	copy(h.head.lineage[:], b[56:])
	return h, nil
}

// body calls f for every pair of each frame whose checksum agrees, and returns
// nil when the trailer agrees with all of them and nothing follows it.
func (s *streamReader) body(f func(key, value []byte) error) error {
	for {
		var length [4]byte
		if _, err := io.ReadFull(s.r, length[:]); err != nil {
			return badStream("it ends after %d pairs: %w", s.pairs, err)
		}
		n := binary.BigEndian.Uint32(length[:])
		if n == 0 {
			return s.trailer(length[:])
		}
		if n > frameMax {
			return badStream("a frame of %d bytes", n)
		}
		b, err := s.part("frame", length[:], int(n))
		if err != nil {
			return err
		}
		if err := s.split(b, f); err != nil {
			return err
		}
	}
}

// split takes the pairs of a frame apart.
func (s *streamReader) split(b []byte, f func(key, value []byte) error) error {
	for len(b) > 0 {
		var kv [2][]byte
		for i := range kv {
			n, w := binary.Uvarint(b)
			if w <= 0 || n > uint64(len(b)-w) {
				return badStream("a pair is cut short")
			}
			kv[i], b = b[w:w+int(n)], b[w+int(n):]
		}
		if s.pairs > 0 && bytes.Compare(kv[0], s.last) <= 0 {
			return badStream("its keys do not ascend")
		}
		s.last = append(s.last[:0], kv[0]...)
		s.pairs++
		s.digest.add(kv[0], kv[1])
		if err := f(kv[0], kv[1]); err != nil {
			return err
		}
	}
	return nil
}

func (s *streamReader) trailer(zero []byte) error {
	b, err := s.part("trailer", zero, trailerSize)
	if err != nil {
		return err
	}
	if n := binary.BigEndian.Uint64(b); n != s.pairs {
		return badStream("it has %d pairs instead of %d", s.pairs, n)
	}
	if sum := s.digest.sum(); !bytes.Equal(sum[:], b[8:]) {
		return badStream("its digest differs")
	}
	switch _, err := s.r.ReadByte(); {
	case err == nil:
		return badStream("something follows the trailer")
	case !errors.Is(err, io.EOF):
		return badStream("after the trailer: %w", err)
	}
	return nil
}
