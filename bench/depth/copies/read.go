package copies

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// The frame of a backup:
//
//	header   magic 4 · version 2 · made at 8 · length of cluster 2 · cluster · CRC32C 4
//	section  'S' 1 · length of stream 8 · CRC32C 4 · stream
//	trailer  'E' 1 · number of sections 4 · SHA-256 of all before it 32
//
// and of a stream in it:
//
//	header   magic 4 · version 2 · shard and where it is 66 · length of cluster 2 · cluster · CRC32C 4
//	frame    length 4 · pairs · CRC32C 4
//	pair     uvarint length of key · key · uvarint length of value · value
//	trailer  0 4 · number of pairs 8 · SHA-256 of the pairs 32 · CRC32C 4
const (
	backupMagic   = "QTBK\x00\x01"
	streamMagic   = "QTSS\x00\x02"
	backupFixed   = 4 + 2 + 8
	streamFixed   = 4 + 2 + 66
	sumSize       = 4
	digestSize    = 32
	sectionMark   = 'S'
	sectionHead   = 1 + 8 + sumSize
	trailerMark   = 'E'
	streamTrailer = 4 + 8 + digestSize + sumSize
)

// errCut: a backup is not as this program knows it. Checksums are not looked
// at: the command that made the backup has read it over.
var errCut = errors.New("the backup has another form than this bench knows, or is not whole")

// row is a pair of a shard's state.
type row struct{ key, value []byte }

// size is the length of the pair in a stream.
func (r row) size() int64 {
	return int64(uvarintLen(len(r.key)) + len(r.key) + uvarintLen(len(r.value)) + len(r.value))
}

func uvarintLen(n int) int { return len(binary.AppendUvarint(nil, uint64(n))) }

// section is one shard's part of a backup.
type section struct {
	// header begins its stream, checksum included.
	header []byte
	// rows ascend.
	rows []row
}

// read reads a whole backup; header is what it begins with, checksum included.
func read(path string) (header []byte, sections []section, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	c := &cursor{left: text}
	header = c.head(backupMagic, backupFixed)
	for c.ok() && c.left[0] == sectionMark {
		n := binary.BigEndian.Uint64(c.take(sectionHead)[1:])
		stream := &cursor{left: c.take(int(min(n, uint64(len(text)))))}
		s := section{header: stream.head(streamMagic, streamFixed)}
		s.rows = stream.pairs()
		c.bad = c.bad || stream.bad || len(stream.left) != 0
		sections = append(sections, s)
	}
	if mark := c.take(1); c.bad || mark[0] != trailerMark || len(sections) == 0 {
		return nil, nil, fmt.Errorf("read %s: %w", path, errCut)
	}
	return header, sections, nil
}

// cursor takes bytes apart. What it takes behind the end is zero, and bad.
type cursor struct {
	left []byte
	bad  bool
}

// ok reports whether something is left that can be read.
func (c *cursor) ok() bool { return !c.bad && len(c.left) > 0 }

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.left) {
		c.bad, c.left = true, nil
		return make([]byte, max(n, 0))
	}
	b := c.left[:n:n]
	c.left = c.left[n:]
	return b
}

// head takes a header of the magic, so many bytes, and the cluster's name.
func (c *cursor) head(magic string, fixed int) []byte {
	all := c.left
	begin := c.take(fixed)
	c.take(int(binary.BigEndian.Uint16(c.take(2))) + sumSize)
	c.bad = c.bad || string(begin[:len(magic)]) != magic
	return all[:len(all)-len(c.left)]
}

// pairs takes the frames of a stream and its trailer.
func (c *cursor) pairs() (rows []row) {
	for c.ok() {
		n := int(binary.BigEndian.Uint32(c.take(4)))
		if n == 0 {
			c.take(streamTrailer - 4)
			return rows
		}
		frame := &cursor{left: c.take(n)}
		c.take(sumSize)
		for frame.ok() {
			rows = append(rows, row{key: frame.prefixed(), value: frame.prefixed()})
		}
		c.bad = c.bad || frame.bad
	}
	return rows
}

// prefixed takes bytes behind their length.
func (c *cursor) prefixed() []byte {
	n, width := binary.Uvarint(c.left)
	if width <= 0 || n > uint64(len(c.left)) {
		c.bad, c.left = true, nil
		return nil
	}
	c.take(width)
	return c.take(int(n))
}
