package copies

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
)

// perFrame is how many pairs stand in a frame; with parts of at most 256 KiB it
// is far below the 64 MiB that a reader takes.
const perFrame = 64

// castagnoli is the polynomial of all checksums.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendSum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// output writes a backup and keeps the first error.
type output struct {
	file     *os.File
	buffered *bufio.Writer
	w        io.Writer // into the file and the digest
	digest   hash.Hash
	sections uint32
	err      error
}

// create begins a backup with its header.
func create(path string, header []byte) (*output, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	o := &output{file: f, buffered: bufio.NewWriterSize(f, 1<<20), digest: sha256.New()}
	o.w = io.MultiWriter(o.buffered, o.digest)
	o.write(header)
	return o, nil
}

func (o *output) write(b []byte) {
	if o.err == nil {
		_, o.err = o.w.Write(b)
	}
}

// section writes a section whose pairs have a total size.
func (o *output) section(header []byte, pairs, size int64, rows func(pair func(row))) error {
	count := (pairs + perFrame - 1) / perFrame
	length := int64(len(header)) + size + count*(4+sumSize) + streamTrailer
	o.write(appendSum(binary.BigEndian.AppendUint64([]byte{sectionMark}, uint64(length))))
	o.write(header)
	s := frames{out: o, digest: sha256.New()}
	rows(s.pair)
	s.end()
	o.sections++
	if o.err == nil && (s.pairs != pairs || s.size != size) {
		o.err = fmt.Errorf("%d rows of %d bytes were announced, and %d of %d came", pairs, size, s.pairs, s.size)
	}
	return o.err
}

// close writes the trailer and ends the file.
func (o *output) close() error {
	o.write(binary.BigEndian.AppendUint32([]byte{trailerMark}, o.sections))
	o.write(o.digest.Sum(nil))
	return errors.Join(o.err, o.buffered.Flush(), o.file.Close())
}

// frames are the stream of one section.
type frames struct {
	out    *output
	digest hash.Hash
	frame  []byte // room for its length, then pairs
	pairs  int64
	size   int64
	head   [8]byte
}

// pair writes a pair; nothing of it is kept.
func (s *frames) pair(r row) {
	if len(s.frame) == 0 {
		s.frame = append(s.frame, 0, 0, 0, 0)
	}
	before := len(s.frame)
	s.frame = append(binary.AppendUvarint(s.frame, uint64(len(r.key))), r.key...)
	s.frame = append(binary.AppendUvarint(s.frame, uint64(len(r.value))), r.value...)
	s.size += int64(len(s.frame) - before)
	binary.BigEndian.PutUint32(s.head[:4], uint32(len(r.key)))
	binary.BigEndian.PutUint32(s.head[4:], uint32(len(r.value)))
	for _, b := range [][]byte{s.head[:], r.key, r.value} {
		_, _ = s.digest.Write(b) // a hash never fails
	}
	if s.pairs++; s.pairs%perFrame == 0 {
		s.flush()
	}
}

func (s *frames) flush() {
	if len(s.frame) == 0 {
		return
	}
	binary.BigEndian.PutUint32(s.frame, uint32(len(s.frame)-4))
	s.frame = appendSum(s.frame)
	s.out.write(s.frame)
	s.frame = s.frame[:0]
}

// end writes the last frame and the trailer.
func (s *frames) end() {
	s.flush()
	b := binary.BigEndian.AppendUint64(make([]byte, 4, streamTrailer), uint64(s.pairs))
	s.out.write(appendSum(s.digest.Sum(b)))
}
