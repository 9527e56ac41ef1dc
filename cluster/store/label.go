package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"
)

// A label says what a snapshot is; a snapshot without one does not exist. Its
// file, "<id>.label":
//
//	magic 4 · version 2 · kind 1 · snapshot version 2 · index 8 · term 8 ·
//	configuration index 8 · size of the data 8 · lineage 16 · configuration
//	(as raft encodes it) · CRC32C 4
//
// Numbers are big-endian; the checksum covers what is before it. The id is the
// sequence of the snapshot's creation in 16 hexadecimal digits, term and index.
type label struct {
	seq         uint64
	kind        byte
	version     raft.SnapshotVersion
	index, term uint64
	config      raft.Configuration
	configIndex uint64
	size        int64 // of the received data
	lineage     [16]byte
}

const (
	labelMagic   = "QTSL"
	labelVersion = 1
	labelFixed   = 4 + 2 + 1 + 2 + 4*8 + 16
	labelSuffix  = ".label"
	dataSuffix   = ".data"
	tempSuffix   = ".tmp"

	marker   byte = 1
	received byte = 2
)

func (l *label) id() string { return fmt.Sprintf("%016x-%d-%d", l.seq, l.term, l.index) }

func (l *label) meta() *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version:            l.version,
		ID:                 l.id(),
		Index:              l.index,
		Term:               l.term,
		Configuration:      l.config,
		ConfigurationIndex: l.configIndex,
		Size:               l.size,
	}
}

func (l *label) encode() []byte {
	b := append(make([]byte, 0, 512), labelMagic...)
	b = binary.BigEndian.AppendUint16(b, labelVersion)
	b = append(b, l.kind)
	b = binary.BigEndian.AppendUint16(b, uint16(l.version))
	for _, n := range []uint64{l.index, l.term, l.configIndex, uint64(l.size)} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = append(b, l.lineage[:]...)
	b = append(b, raft.EncodeConfiguration(l.config)...)
	return appendSum(b, 0)
}

// decodeLabel is the inverse of encode; the sequence comes from the name.
func decodeLabel(b []byte) (l *label, err error) {
	n := len(b) - 4
	switch {
	case n < labelFixed || string(b[:4]) != labelMagic || binary.BigEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli):
		return nil, errors.New("the label is damaged")
	case binary.BigEndian.Uint16(b[4:]) != labelVersion || b[6] != marker && b[6] != received:
		return nil, errors.New("the label is of a newer program")
	}
	// Bytes with a good checksum are what raft encoded, but it panics on others.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the label has no configuration: %v", r)
		}
	}()
	l = &label{
		kind:        b[6],
		version:     raft.SnapshotVersion(binary.BigEndian.Uint16(b[7:])),
		index:       binary.BigEndian.Uint64(b[9:]),
		term:        binary.BigEndian.Uint64(b[17:]),
		configIndex: binary.BigEndian.Uint64(b[25:]),
		size:        int64(binary.BigEndian.Uint64(b[33:])),
		config:      raft.DecodeConfiguration(b[labelFixed:n]),
	}
	copy(l.lineage[:], b[41:])
	return l, nil
}

// readLabel reads the label of an id.
func readLabel(fs vfs.FS, path string) (*label, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return decodeLabel(b)
}

// writeLabel replaces the label; it is durable when it returns.
func (s *Snapshots) writeLabel(l *label) error {
	fs, path := s.store.o.FS, s.path(l.id()+labelSuffix)
	f, err := fs.Create(path+tempSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(l.encode())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(path+tempSuffix, path); err != nil {
		return err
	}
	return s.store.syncDir(s.dir)
}
