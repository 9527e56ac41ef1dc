package transfer

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
)

// cutter cuts a stream into chunks while it is written through it, and keeps
// what each of them is made again from. The stream's writer gives it the header,
// each frame and the trailer in one piece.
type cutter struct {
	head   []byte   // the header
	starts [][]byte // the first key of each chunk
	tail   []byte   // the trailer
	chunks []Chunk

	size int64 // of the chunk under way
	hash hash.Hash
}

func newCutter() *cutter { return &cutter{hash: sha256.New()} }

// Write implements io.Writer.
func (c *cutter) Write(b []byte) (int, error) {
	switch {
	case c.head == nil:
		c.head = bytes.Clone(b)
	case binary.BigEndian.Uint32(b) == 0:
		c.tail = bytes.Clone(b)
	case len(c.starts) == len(c.chunks):
		key, err := firstKey(b)
		if err != nil {
			return 0, err
		}
		c.starts = append(c.starts, key)
	}
	_, _ = c.hash.Write(b) // a hash never fails
	c.size += int64(len(b))
	if c.tail != nil || c.size >= chunkFull {
		c.end()
	}
	return len(b), nil
}

// end ends the chunk.
func (c *cutter) end() {
	if len(c.starts) == len(c.chunks) {
		c.starts = append(c.starts, nil) // no frame: the trailer alone
	}
	c.chunks = append(c.chunks, Chunk{Size: c.size, Digest: [32]byte(c.hash.Sum(nil))})
	c.size = 0
	c.hash.Reset()
}

// firstKey is the key of a frame's first pair.
func firstKey(frame []byte) ([]byte, error) {
	length, n := binary.Uvarint(frame[4:])
	if n <= 0 || length > uint64(len(frame)-4-n) {
		return nil, errors.New("the frame has no key")
	}
	return bytes.Clone(frame[4+n:][:length]), nil
}

// again makes a chunk of the same view.
func (c *cutter) again(view View, i int) ([]byte, error) {
	chunk := c.chunks[i]
	b := limited{room: int(chunk.Size)}
	b.Grow(int(chunk.Size))
	if i == 0 {
		_, _ = b.Write(c.head) // has room
	}
	if i == len(c.chunks)-1 {
		b.room -= len(c.tail)
	}
	if c.starts[i] != nil {
		if err := view.WriteFrames(&b, c.starts[i]); err != nil && !errors.Is(err, errFull) {
			return nil, err
		}
	}
	if i == len(c.chunks)-1 {
		b.room += len(c.tail)
		_, _ = b.Write(c.tail) // has room
	}
	if sha256.Sum256(b.Bytes()) != chunk.Digest {
		return nil, fmt.Errorf("chunk %d of a pinned view is not what it was; its files may be damaged", i)
	}
	return b.Bytes(), nil
}

// errFull ends the writing of frames that belong to the next chunk.
var errFull = errors.New("the chunk is full")

// limited takes up to room bytes.
type limited struct {
	bytes.Buffer
	room int
}

var _ io.Writer = (*limited)(nil)

// Write implements io.Writer.
func (l *limited) Write(b []byte) (int, error) {
	if len(b) > l.room-l.Len() {
		return 0, errFull
	}
	n, _ := l.Buffer.Write(b) // never fails
	if l.Len() == l.room {
		return n, errFull
	}
	return n, nil
}
