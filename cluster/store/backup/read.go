package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"time"
)

// ErrBad: the file is not a backup, not a whole one, or has been damaged. Use
// another copy; nothing of this one can be relied on.
var ErrBad = errors.New("the backup is damaged or incomplete; use another copy of it")

// Header is what a backup begins with.
type Header struct {
	Cluster string
	Made    time.Time
}

// Reader reads a backup, section by section. It is used by one goroutine. All
// errors of its own wrap ErrBad.
type Reader struct {
	r        *bufio.Reader
	hash     hash.Hash
	header   Header
	sections uint32
	rest     *io.LimitedReader // of the section that is being read
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrBad, fmt.Errorf(format, args...))
}

// NewReader reads the header.
func NewReader(r io.Reader) (*Reader, error) {
	in := &Reader{r: bufio.NewReaderSize(r, 64<<10), hash: sha256.New()}
	fixed := make([]byte, headerFixed)
	if err := in.full(fixed); err != nil {
		return nil, bad("header: %w", err)
	}
	if string(fixed[:4]) != magic {
		return nil, bad("it does not begin with %s", magic)
	}
	if v := binary.BigEndian.Uint16(fixed[4:]); v != version {
		return nil, fmt.Errorf("the backup has version %d; a newer program wrote it, and restores it", v)
	}
	b, err := in.checked(fixed, int(binary.BigEndian.Uint16(fixed[headerFixed-2:])))
	if err != nil {
		return nil, bad("header: %w", err)
	}
	in.header = Header{Cluster: string(b), Made: time.Unix(0, int64(binary.BigEndian.Uint64(fixed[6:]))).UTC()}
	return in, nil
}

// full reads what cannot be absent.
func (in *Reader) full(b []byte) error {
	_, err := io.ReadFull(in.r, b)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF // io.EOF would say that the backup is whole
	}
	if err != nil {
		return err
	}
	_, _ = in.hash.Write(b) // a hash never fails
	return nil
}

// checked reads n bytes and their checksum, which also covers before.
func (in *Reader) checked(before []byte, n int) ([]byte, error) {
	b := make([]byte, n+sumSize)
	if err := in.full(b); err != nil {
		return nil, err
	}
	if binary.BigEndian.Uint32(b[n:]) != crc32.Update(crc32.Checksum(before, castagnoli), castagnoli, b[:n]) {
		return nil, errors.New("a wrong checksum")
	}
	return b[:n], nil
}

// Header says what the backup is of.
func (in *Reader) Header() Header { return in.header }

// Next is the stream of the next shard; it is valid until the next call and
// need not be read to its end, in which case its damage may go unnoticed until
// the trailer. It returns io.EOF behind the last one, when the trailer agrees
// with all that was read.
func (in *Reader) Next() (io.Reader, error) {
	if in.rest != nil {
		if _, err := io.Copy(io.Discard, in.rest); err != nil {
			return nil, bad("section %d: %w", in.sections, err)
		}
		if in.rest.N > 0 {
			return nil, bad("section %d is cut short", in.sections)
		}
		in.rest = nil
	}
	mark := make([]byte, 1)
	if err := in.full(mark); err != nil {
		return nil, bad("it ends behind section %d: %w", in.sections, err)
	}
	switch mark[0] {
	case sectionMark:
		b, err := in.checked(mark, sectionSize-1)
		if err != nil {
			return nil, bad("head of section %d: %w", in.sections+1, err)
		}
		in.sections++
		in.rest = &io.LimitedReader{R: io.TeeReader(in.r, in.hash), N: int64(binary.BigEndian.Uint64(b))}
		return in.rest, nil
	case trailerMark:
		return nil, in.trailer()
	}
	return nil, bad("a section of the kind %d", mark[0])
}

// trailer returns io.EOF if the trailer agrees.
func (in *Reader) trailer() error {
	count := make([]byte, 4)
	if err := in.full(count); err != nil {
		return bad("trailer: %w", err)
	}
	sum := in.hash.Sum(nil)
	digest := make([]byte, len(sum))
	if err := in.full(digest); err != nil {
		return bad("trailer: %w", err)
	}
	switch n := binary.BigEndian.Uint32(count); {
	case n != in.sections:
		return bad("it has %d sections instead of %d", in.sections, n)
	case !bytes.Equal(sum, digest):
		return bad("its digest differs")
	}
	switch _, err := in.r.ReadByte(); {
	case err == nil:
		return bad("something follows the trailer")
	case !errors.Is(err, io.EOF):
		return bad("behind the trailer: %w", err)
	}
	return io.EOF
}

// Verify reads a backup to its end and says what it has. Nothing is to be
// restored from one that was not verified.
func Verify(r io.Reader) (Header, []Section, error) {
	in, err := NewReader(r)
	if err != nil {
		return Header{}, nil, err
	}
	var sections []Section
	for {
		from, err := in.Next()
		if err == io.EOF {
			return in.header, sections, nil
		}
		if err != nil {
			return Header{}, nil, err
		}
		size := in.rest.N
		section, err := readSection(from)
		switch {
		case err != nil:
			return Header{}, nil, bad("section %d: %v", in.sections, err)
		case section.Cluster != in.header.Cluster || has(sections, section.Shard):
			return Header{}, nil, bad("section %d does not belong here", in.sections)
		}
		section.Size = size
		sections = append(sections, section)
	}
}

// Lineage is what a shard's state is given when it is restored into a cluster:
// the same on all members that restore the same backup, another one for each
// cluster and backup.
func Lineage(cluster string, s Section) (lineage [16]byte) {
	b := append([]byte("quorumta lineage\x00"), cluster...)
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, s.Shard)
	b = append(b, s.Lineage[:]...)
	b = binary.BigEndian.AppendUint64(b, s.Applied)
	b = append(b, s.Digest[:]...)
	sum := sha256.Sum256(b)
	copy(lineage[:], sum[:])
	return lineage
}
