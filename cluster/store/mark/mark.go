// Package mark keeps high-water marks: for each shard (term, index) of the
// newest entry that this node has synced, and how often it has synced a term or a
// vote, in a small checksummed file apart from the log, so that a log which
// silently lost its tail is told from one that never had it.
package mark

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Lag is how far the file may lie behind Raise.
const Lag = 100 * time.Millisecond

// The file has two slots of 4 KiB for each shard, at (2·shard + slot)·4096.
// They are written in turn, so that one that was torn by a crash leaves the one
// before it:
//
//	magic 4 · version 2 · shard 2 · sequence 8 · term 8 · index 8 · ballots 8 · CRC32C 4
//
// Numbers are big-endian; the checksum covers what is before it. Version 1 had no
// ballots. The valid slot with the greater sequence counts. A slot that was never written is all zeros,
// or beyond the end.
const (
	magic    = "QTMK"
	version  = 2
	slotSize = 4096
	size     = 4 + 2 + 2 + 8 + 8 + 8 + 8 + 4
	sizeOf1  = size - 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrDamaged: a shard's mark was there before and cannot be read, so that a
// lost tail of its log could go unnoticed. Let the replica rejoin as new.
var ErrDamaged = errors.New("the high-water mark is damaged or missing; let the node rejoin as new")

// Options says where the marks live; every field is needed.
type Options struct {
	FS   vfs.FS
	Path string
	Log  *slog.Logger
	// Fail is told what a read, write or sync has failed with, from any
	// goroutine. Nothing is written after it.
	Fail func(error) error
}

// File is the file of the marks of all shards, and the goroutine that writes
// what was raised: one sync serves all of them.
type File struct {
	o    Options
	file vfs.File
	kick chan struct{}
	stop chan struct{}
	done chan struct{}

	write  sync.Mutex // serialises writing; guards failed and the sequences
	failed error
	mu     sync.Mutex // guards marks and the values in them
	marks  map[uint16]*Mark
}

// Mark is the mark of one shard. Its methods may be called from any goroutine.
type Mark struct {
	file   *File
	shard  uint16
	seq    uint64
	want   value
	onDisk value
}

type value struct{ term, index, ballots uint64 }

func (v value) less(w value) bool {
	return v.term < w.term || v.term == w.term && v.index < w.index
}

// Open opens or makes the file. Close ends what Open starts.
func Open(o Options) (*File, error) {
	f, err := o.FS.OpenReadWrite(o.Path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("open high-water marks: %w", err)
	}
	m := &File{
		o:     o,
		file:  f,
		kick:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
		marks: map[uint16]*Mark{},
	}
	go m.run()
	return m, nil
}

// run writes raised marks until Close.
func (f *File) run() {
	defer close(f.done)
	for {
		select {
		case <-f.kick:
		case <-f.stop:
			return
		}
		select {
		case <-time.After(Lag):
		case <-f.stop:
			return
		}
		if f.writeRaised() != nil {
			return
		}
	}
}

// Settled reports whether everything that was raised is on disk.
func (f *File) Settled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.marks {
		if m.want != m.onDisk {
			return false
		}
	}
	return true
}

// Close writes what was raised.
func (f *File) Close() error {
	close(f.stop)
	<-f.done
	return errors.Join(f.writeRaised(), f.file.Close())
}

// writeRaised writes the marks that have changed and syncs them.
func (f *File) writeRaised() error {
	f.write.Lock()
	defer f.write.Unlock()
	f.mu.Lock()
	changed := map[*Mark]value{}
	for _, m := range f.marks {
		if m.want != m.onDisk {
			changed[m] = m.want
		}
	}
	f.mu.Unlock()
	return f.syncLocked(changed)
}

// syncLocked writes the values and returns when they are synced. After an
// error nothing on this disk is believed.
func (f *File) syncLocked(values map[*Mark]value) error {
	if len(values) == 0 || f.failed != nil {
		return f.failed
	}
	for m, v := range values {
		m.seq++
		if _, err := f.file.WriteAt(encode(m.shard, m.seq, v), offset(m.shard, m.seq)); err != nil {
			f.failed = f.o.Fail(fmt.Errorf("write high-water mark: %w", err))
			return f.failed
		}
	}
	if err := f.file.SyncData(); err != nil {
		f.failed = f.o.Fail(fmt.Errorf("sync high-water mark: %w", err))
		return f.failed
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for m, v := range values {
		m.onDisk = v
	}
	return nil
}

func offset(shard uint16, seq uint64) int64 {
	return (2*int64(shard) + int64(seq%2)) * slotSize
}

func encode(shard uint16, seq uint64, v value) []byte {
	b := append(make([]byte, 0, size), magic...)
	b = binary.BigEndian.AppendUint16(b, version)
	b = binary.BigEndian.AppendUint16(b, shard)
	for _, n := range []uint64{seq, v.term, v.index, v.ballots} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decode reads a slot.
func decode(b []byte, shard uint16) (seq uint64, v value, ok bool) {
	if len(b) < 8 || string(b[:4]) != magic || binary.BigEndian.Uint16(b[6:]) != shard {
		return 0, value{}, false
	}
	length := size
	switch binary.BigEndian.Uint16(b[4:]) {
	case 1:
		length = sizeOf1
	case version:
	default:
		return 0, value{}, false
	}
	if len(b) < length || binary.BigEndian.Uint32(b[length-4:]) != crc32.Checksum(b[:length-4], castagnoli) {
		return 0, value{}, false
	}
	v = value{term: binary.BigEndian.Uint64(b[16:]), index: binary.BigEndian.Uint64(b[24:])}
	if length == size {
		v.ballots = binary.BigEndian.Uint64(b[32:])
	}
	return binary.BigEndian.Uint64(b[8:]), v, true
}

// Shard opens the mark of a shard. expected says that there was one before, and
// makes its absence ErrDamaged: without it a lost file would look like a new
// one. All calls for one shard return the same Mark.
func (f *File) Shard(shard uint16, expected bool) (*Mark, error) {
	f.write.Lock()
	defer f.write.Unlock()
	f.mu.Lock()
	m := f.marks[shard]
	f.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m = &Mark{file: f, shard: shard}
	found, err := m.loadLocked()
	switch {
	case err != nil:
		return nil, err
	case !found && expected:
		return nil, fmt.Errorf("shard %d: %w (%s)", shard, ErrDamaged, f.o.Path)
	case !found:
		if err := f.syncLocked(map[*Mark]value{m: {}}); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	f.marks[shard] = m
	f.mu.Unlock()
	return m, nil
}

// loadLocked reads both slots.
func (m *Mark) loadLocked() (found bool, err error) {
	damaged := false
	for slot := range uint64(2) {
		b := make([]byte, size)
		n, err := m.file.file.ReadAt(b, offset(m.shard, slot))
		if err != nil && !errors.Is(err, io.EOF) {
			return false, m.file.o.Fail(fmt.Errorf("read high-water mark: %w", err))
		}
		seq, v, ok := decode(b[:n], m.shard)
		switch {
		case !ok:
			damaged = damaged || [size]byte(b) != [size]byte{}
		case !found || seq > m.seq:
			found, m.seq, m.want, m.onDisk = true, seq, v, v
		}
	}
	if damaged && !found {
		return false, fmt.Errorf("shard %d: %w (%s)", m.shard, ErrDamaged, m.file.o.Path)
	}
	if damaged {
		m.file.o.Log.Warn("a high-water mark was torn; the one before it counts",
			"shard", m.shard, "term", m.want.term, "index", m.want.index)
	}
	return found, nil
}

// Drop forgets the mark of a shard, durably, as if there had never been one. Its
// Mark refuses to be lowered from then on.
func (f *File) Drop(shard uint16) error {
	f.write.Lock()
	defer f.write.Unlock()
	f.mu.Lock()
	delete(f.marks, shard)
	f.mu.Unlock()
	if f.failed != nil {
		return f.failed
	}
	for slot := range uint64(2) {
		if _, err := f.file.WriteAt(make([]byte, size), offset(shard, slot)); err != nil {
			f.failed = f.o.Fail(fmt.Errorf("drop high-water mark: %w", err))
			return f.failed
		}
	}
	if err := f.file.SyncData(); err != nil {
		f.failed = f.o.Fail(fmt.Errorf("sync high-water mark: %w", err))
	}
	return f.failed
}

// Value is the mark as it is on disk.
func (m *Mark) Value() (term, index uint64) {
	m.file.mu.Lock()
	defer m.file.mu.Unlock()
	return m.onDisk.term, m.onDisk.index
}

// Raise notes a synced entry; the file follows within Lag. What is not above
// the mark, by term and then index, changes nothing.
func (m *Mark) Raise(term, index uint64) {
	m.raise(func(v *value) {
		if v.less(value{term: term, index: index}) {
			v.term, v.index = term, index
		}
	})
}

// Ballots is the count of synced terms and votes as it is on disk.
func (m *Mark) Ballots() uint64 {
	m.file.mu.Lock()
	defer m.file.mu.Unlock()
	return m.onDisk.ballots
}

// CountBallots notes how many terms and votes have been synced; the file follows
// within Lag. The count never goes back.
func (m *Mark) CountBallots(n uint64) {
	m.raise(func(v *value) { v.ballots = max(v.ballots, n) })
}

// raise changes what the file is to say, and has it written.
func (m *Mark) raise(change func(*value)) {
	m.file.mu.Lock()
	before := m.want
	change(&m.want)
	changed := m.want != before
	m.file.mu.Unlock()
	if !changed {
		return
	}
	select {
	case m.file.kick <- struct{}{}:
	default: // a kick is waiting already
	}
}

// Lower sets the entry of the mark and returns when it is synced: before every
// legal shortening of the log.
func (m *Mark) Lower(term, index uint64) error {
	m.file.write.Lock()
	defer m.file.write.Unlock()
	m.file.mu.Lock()
	dropped := m.file.marks[m.shard] != m
	m.want.term, m.want.index = term, index
	v := m.want
	m.file.mu.Unlock()
	if dropped {
		return fmt.Errorf("shard %d: the high-water mark has been dropped", m.shard)
	}
	return m.file.syncLocked(map[*Mark]value{m: v})
}
