package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// Label says what a snapshot is; a snapshot without one does not exist. Its
// file, "<id>.label":
//
//	magic 4 · version 2 · kind 1 · snapshot version 2 · index 8 · term 8 ·
//	configuration index 8 · size of the data 8 · lineage 16 · configuration
//	(as raft encodes it) · CRC32C 4
//
// Numbers are big-endian; the checksum covers what is before it. The id is the
// sequence of the snapshot's creation in 16 hexadecimal digits, term and index.
type Label struct {
	Seq         uint64
	Kind        Kind
	Version     raft.SnapshotVersion
	Index, Term uint64
	Config      raft.Configuration
	ConfigIndex uint64
	Size        int64 // of the received data
	Lineage     [16]byte
}

// ErrDamaged: the newest label cannot be read, so that nobody knows what the state
// must have. Let the replica be made anew.
var ErrDamaged = errors.New("the snapshot's label is damaged")

// Kind is what a snapshot consists of.
type Kind byte

const (
	// Marker: the state itself is durable up to the label; there is no data.
	Marker Kind = 1
	// Received: the data came from another member.
	Received Kind = 2
)

const (
	labelMagic   = "QTSL"
	labelVersion = 1
	labelFixed   = 4 + 2 + 1 + 2 + 4*8 + 16
	labelSuffix  = ".label"
	dataSuffix   = ".data"
	tempSuffix   = ".tmp"
)

// ID is how raft names the snapshot.
func (l *Label) ID() string { return fmt.Sprintf("%016x-%d-%d", l.Seq, l.Term, l.Index) }

// Meta is the label as raft has it. The size of a marker is not known here.
func (l *Label) Meta() *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version:            l.Version,
		ID:                 l.ID(),
		Index:              l.Index,
		Term:               l.Term,
		Configuration:      l.Config,
		ConfigurationIndex: l.ConfigIndex,
		Size:               l.Size,
	}
}

func (l *Label) encode() []byte {
	b := append(make([]byte, 0, 512), labelMagic...)
	b = binary.BigEndian.AppendUint16(b, labelVersion)
	b = append(b, byte(l.Kind))
	b = binary.BigEndian.AppendUint16(b, uint16(l.Version))
	for _, n := range []uint64{l.Index, l.Term, l.ConfigIndex, uint64(l.Size)} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = append(b, l.Lineage[:]...)
	b = append(b, raft.EncodeConfiguration(l.Config)...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decode is the inverse of encode; the sequence comes from the name.
func decode(b []byte) (l *Label, err error) {
	n := len(b) - 4
	switch {
	case n < labelFixed || string(b[:4]) != labelMagic || binary.BigEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli):
		return nil, ErrDamaged
	case binary.BigEndian.Uint16(b[4:]) != labelVersion || Kind(b[6]) != Marker && Kind(b[6]) != Received:
		return nil, errors.New("the label is of a newer program")
	}
	// Bytes with a good checksum are what raft encoded, but it panics on others.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the label has no configuration: %v", r)
		}
	}()
	l = &Label{
		Kind:        Kind(b[6]),
		Version:     raft.SnapshotVersion(binary.BigEndian.Uint16(b[7:])),
		Index:       binary.BigEndian.Uint64(b[9:]),
		Term:        binary.BigEndian.Uint64(b[17:]),
		ConfigIndex: binary.BigEndian.Uint64(b[25:]),
		Size:        int64(binary.BigEndian.Uint64(b[33:])),
		Config:      raft.DecodeConfiguration(b[labelFixed:n]),
		Lineage:     [16]byte(b[41:]),
	}
	return l, nil
}
