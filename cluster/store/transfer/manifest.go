// Package transfer moves a snapshot stream between members piece by piece: the
// sender pins a view and makes a manifest of its stream, the receiver fetches the
// chunks in whatever time they take and goes on where it was cut off (PROTOCOL
// 5). Nothing is copied on the sender's disk: a chunk begins with a key, from
// which it is made again whenever it is asked for.
package transfer

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"

	"quorumta/cluster/store/stream"
)

// A manifest on the wire:
//
//	magic 4 · version 2 · id 16 · length of header 4 · header · number of chunks 4 ·
//	chunks (length 4 · SHA-256 32, each) · CRC32C 4
//
// Numbers are big-endian; header is that of the stream; the checksum covers what
// is before it. Magic and version stay where they are for ever.
const (
	magic     = "QTSM"
	version   = 1
	fixed     = 4 + 2 + 16 + 4
	chunkHead = 4 + 32
	sumSize   = 4

	// chunkFull is about how long a chunk is: it ends with the frame that reaches
	// this.
	chunkFull = 1 << 20
	// chunkMost is what a receiver takes: a chunk and the largest frame.
	chunkMost = 80 << 20
	// ManifestMost is the length of the longest manifest, bytes: that of some
	// 400 GB of state.
	ManifestMost = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrBad: what was read is not a manifest, or a chunk is not what the manifest
// says. Fetch it again.
var ErrBad = errors.New("bad transfer")

// ID names a pinned view.
type ID [16]byte

// String is the id in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Manifest says what a stream is made of.
type Manifest struct {
	ID     ID
	Header stream.Header
	Chunks []Chunk // in the order of the stream
}

// Chunk is a piece of a stream.
type Chunk struct {
	Size   int64 // bytes
	Digest [32]byte
}

// Size is the length of the whole stream, bytes.
func (m *Manifest) Size() (n int64) {
	for _, c := range m.Chunks {
		n += c.Size
	}
	return n
}

// Encode is the manifest as it travels.
func (m *Manifest) Encode() ([]byte, error) {
	header, err := m.Header.Encode()
	if err != nil {
		return nil, err
	}
	if len(m.Chunks) > (ManifestMost-fixed-len(header)-8)/chunkHead {
		return nil, fmt.Errorf("a state of %d chunks is more than a manifest holds", len(m.Chunks))
	}
	b := binary.BigEndian.AppendUint16([]byte(magic), version)
	b = append(b, m.ID[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(header)))
	b = append(b, header...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.Chunks)))
	for _, c := range m.Chunks {
		b = binary.BigEndian.AppendUint32(b, uint32(c.Size))
		b = append(b, c.Digest[:]...)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

// IsManifest reports whether what begins with b, 4 bytes at least, is a manifest
// and not a stream.
func IsManifest(b []byte) bool { return bytes.HasPrefix(b, []byte(magic)) }

// Decode is the inverse of Encode.
func Decode(b []byte) (*Manifest, error) {
	n := len(b) - sumSize
	switch {
	case n < fixed || len(b) > ManifestMost || !IsManifest(b):
		return nil, fmt.Errorf("%w: %d bytes are not a manifest", ErrBad, len(b))
	case binary.BigEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli):
		return nil, fmt.Errorf("%w: the manifest has a wrong checksum", ErrBad)
	case binary.BigEndian.Uint16(b[4:]) != version:
		return nil, fmt.Errorf("%w: the manifest is of a newer program", ErrBad)
	}
	m := &Manifest{ID: ID(b[6:22])}
	rest := b[fixed:n]
	length := int(binary.BigEndian.Uint32(b[22:]))
	if length > len(rest)-4 {
		return nil, fmt.Errorf("%w: the manifest is cut short", ErrBad)
	}
	var err error
	if m.Header, err = stream.NewReader(bytes.NewReader(rest[:length])).Header(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBad, err)
	}
	count, chunks := binary.BigEndian.Uint32(rest[length:]), rest[length+4:]
	if uint64(len(chunks)) != uint64(count)*chunkHead {
		return nil, fmt.Errorf("%w: %d chunks in %d bytes", ErrBad, count, len(chunks))
	}
	for ; len(chunks) > 0; chunks = chunks[chunkHead:] {
		c := Chunk{Size: int64(binary.BigEndian.Uint32(chunks)), Digest: [32]byte(chunks[4:])}
		if c.Size == 0 || c.Size > chunkMost {
			return nil, fmt.Errorf("%w: a chunk of %d bytes", ErrBad, c.Size)
		}
		m.Chunks = append(m.Chunks, c)
	}
	return m, nil
}
