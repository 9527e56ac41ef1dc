package backup

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"time"

	"quorumta/cluster/store/stream"
	"quorumta/cluster/store/throttle"
)

const (
	magic       = "QTBK"
	version     = 1
	headerFixed = 4 + 2 + 8 + 2
	sectionMark = 'S'
	sectionSize = 1 + 8
	trailerMark = 'E'
	sumSize     = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendSum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Source is one shard's state at one moment: a store's View, or a file that was
// fetched from another member. It is used by one goroutine.
type Source interface {
	// Size is the exact length of what WriteTo writes.
	Size() (int64, error)
	// WriteTo writes a snapshot stream.
	WriteTo(w io.Writer) (int64, error)
}

// Options say what a backup is of; every field but Rate is needed.
type Options struct {
	Cluster string
	// Made is when the backup was begun, for its reader.
	Made time.Time
	// Rate is how many bytes a second are written; 0 sets no limit.
	Rate int64
}

// Section is what a backup has of one shard.
type Section struct {
	stream.Header
	// Size is the length of the stream in bytes.
	Size int64
	// Pairs is the number of the state's keys, Digest their SHA-256
	// (stream.Digest): that which `cluster digest --deep` shows.
	Pairs  uint64
	Digest [32]byte
}

// Writer writes a backup. It is used by one goroutine; after an error the backup
// is good for nothing.
type Writer struct {
	w        io.Writer // what it is written to, throttled
	hash     hash.Hash
	cluster  string
	sections []Section
	err      error
}

// NewWriter writes the header. ctx bounds the whole backup.
func NewWriter(ctx context.Context, w io.Writer, o Options) *Writer {
	out := &Writer{w: throttle.NewWriter(ctx, w, o.Rate), hash: sha256.New(), cluster: o.Cluster}
	if len(o.Cluster) > math.MaxUint16 {
		out.err = fmt.Errorf("write backup: a cluster id of %d bytes", len(o.Cluster))
		return out
	}
	b := binary.BigEndian.AppendUint16([]byte(magic), version)
	b = binary.BigEndian.AppendUint64(b, uint64(o.Made.UnixNano()))
	b = binary.BigEndian.AppendUint16(b, uint16(len(o.Cluster)))
	out.write(appendSum(append(b, o.Cluster...)))
	return out
}

func (w *Writer) write(b []byte) {
	if w.err == nil {
		_, w.err = io.MultiWriter(w.hash, w.w).Write(b)
	}
}

// Add writes one shard. What the source gives is verified while it passes, so
// that no backup is made of what cannot be restored.
func (w *Writer) Add(source Source) (Section, error) {
	if w.err != nil {
		return Section{}, w.err
	}
	section, err := w.add(source)
	if err != nil {
		w.err = fmt.Errorf("back up shard %d: %w", section.Shard, err)
		return Section{}, w.err
	}
	w.sections = append(w.sections, section)
	return section, nil
}

func (w *Writer) add(source Source) (Section, error) {
	size, err := source.Size()
	if err != nil {
		return Section{}, err
	}
	w.write(appendSum(binary.BigEndian.AppendUint64([]byte{sectionMark}, uint64(size))))
	if w.err != nil {
		return Section{}, w.err
	}
	v := verify()
	n, err := source.WriteTo(io.MultiWriter(w.w, w.hash, v.pipe))
	section, bad := v.verdict(err)
	switch {
	case err != nil:
		return section, err
	case bad != nil:
		return section, bad
	case n != size:
		return section, fmt.Errorf("its stream has %d bytes instead of %d", n, size)
	case section.Cluster != w.cluster:
		return section, fmt.Errorf("its state is of cluster %q, and the backup of %q", section.Cluster, w.cluster)
	case has(w.sections, section.Shard):
		return section, errors.New("it is in the backup already")
	}
	section.Size = size
	return section, nil
}

func has(sections []Section, shard uint16) bool {
	return slices.ContainsFunc(sections, func(s Section) bool { return s.Shard == shard })
}

// verifier reads a stream while it is copied elsewhere.
type verifier struct {
	pipe    *io.PipeWriter
	done    chan struct{}
	section Section
	err     error
}

func verify() *verifier {
	r, w := io.Pipe()
	v := &verifier{pipe: w, done: make(chan struct{})}
	go func() {
		defer close(v.done)
		v.section, v.err = readSection(r)
		_ = r.CloseWithError(v.err) // never fails
	}()
	return v
}

// verdict ends the copying, which has failed with err or not at all.
func (v *verifier) verdict(err error) (Section, error) {
	_ = v.pipe.CloseWithError(err) // never fails
	<-v.done
	return v.section, v.err
}

// readSection reads a stream to its end and keeps nothing.
func readSection(r io.Reader) (s Section, err error) {
	in := stream.NewReader(r)
	if s.Header, err = in.Header(); err != nil {
		return s, err
	}
	if err := in.Verify(); err != nil {
		return s, err
	}
	s.Pairs, s.Digest = in.Sum()
	return s, nil
}

// Close writes the trailer and returns what the backup has. It does not close or
// sync what it was written to. Without it the backup is not whole.
func (w *Writer) Close() ([]Section, error) {
	b := binary.BigEndian.AppendUint32([]byte{trailerMark}, uint32(len(w.sections)))
	w.write(b)
	w.write(w.hash.Sum(nil))
	if w.err != nil {
		return nil, fmt.Errorf("write backup: %w", w.err)
	}
	return w.sections, nil
}
