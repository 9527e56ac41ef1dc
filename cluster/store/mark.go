package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// markEvery is how far the file may lag behind Raise.
const markEvery = 100 * time.Millisecond

// The file "marks/marks" has two slots of 4 KiB for each shard, at
// (2·shard + slot)·4096. They are written in turn, so that one that was torn by
// a crash leaves the one before it:
//
//	+-------+---------+-------+----------+------+-------+--------+
//	| magic | version | shard | sequence | term | index | CRC32C |
//	| 4     | 2 BE    | 2 BE  | 8 BE     | 8 BE | 8 BE  | 4 BE   |
//	+-------+---------+-------+----------+------+-------+--------+
//
// The valid slot with the greater sequence counts. The checksum covers what is
// before it. A slot that was never written is all zeros, or beyond the end.
const (
	markMagic   = "QTMK"
	markVersion = 1
	markSlot    = 4096
	markSize    = 4 + 2 + 2 + 8 + 8 + 8 + 4
)

// marks is the file of the marks of all shards and the goroutine that writes
// what was raised: one sync serves all shards.
type marks struct {
	store *Store
	file  vfs.File
	kick  chan struct{}
	stop  chan struct{}
	done  chan struct{}

	write sync.Mutex // serialises writing to the file
	mu    sync.Mutex // guards the map and the values in the marks
	all   map[uint16]*Mark
}

// Mark is one shard's high-water mark: (term, index) of the newest entry this
// node has synced, in a small checksummed file of its own, so that a log which
// silently lost its tail is told from one that never had it (PROTOCOL 7).
type Mark struct {
	marks  *marks
	shard  uint16
	seq    uint64 // guarded by marks.write
	want   markValue
	onDisk markValue
}

type markValue struct{ term, index uint64 }

func (v markValue) less(w markValue) bool {
	return v.term < w.term || v.term == w.term && v.index < w.index
}

// openMarks opens the file and starts its writer.
func openMarks(s *Store) (*marks, error) {
	m := &marks{
		store: s,
		kick:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
		all:   map[uint16]*Mark{},
	}
	var err error
	m.file, err = s.o.FS.OpenReadWrite(s.path("marks", "marks"), vfs.WriteCategoryUnspecified)
	if err == nil {
		err = s.syncDir(s.path("marks"))
	}
	if err != nil {
		return nil, fmt.Errorf("open high-water marks: %w", err)
	}
	go m.run()
	return m, nil
}

// run writes raised marks until close.
func (m *marks) run() {
	defer close(m.done)
	for {
		select {
		case <-m.kick:
		case <-m.stop:
			return
		}
		select {
		case <-time.After(markEvery):
		case <-m.stop:
			return
		}
		if m.writeRaised() != nil {
			return
		}
	}
}

// close writes what was raised and ends the writer.
func (m *marks) close() error {
	close(m.stop)
	<-m.done
	var err error
	if m.store.Err() == nil {
		err = m.writeRaised()
	}
	return errors.Join(err, m.file.Close())
}

// writeRaised writes the marks that have changed and syncs them.
func (m *marks) writeRaised() error {
	m.write.Lock()
	defer m.write.Unlock()
	m.mu.Lock()
	changed := map[*Mark]markValue{}
	for _, k := range m.all {
		if k.want != k.onDisk {
			changed[k] = k.want
		}
	}
	m.mu.Unlock()
	return m.syncLocked(changed)
}

// syncLocked writes the values and returns when they are synced.
func (m *marks) syncLocked(values map[*Mark]markValue) error {
	if len(values) == 0 {
		return nil
	}
	if err := m.store.Err(); err != nil {
		return err
	}
	for k, v := range values {
		k.seq++
		if _, err := m.file.WriteAt(encodeMark(k.shard, k.seq, v), markOffset(k.shard, k.seq)); err != nil {
			return m.store.fail(fmt.Errorf("write high-water mark: %w", err))
		}
	}
	if err := m.file.SyncData(); err != nil {
		return m.store.fail(fmt.Errorf("sync high-water mark: %w", err))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range values {
		k.onDisk = v
	}
	return nil
}

func markOffset(shard uint16, seq uint64) int64 {
	return (2*int64(shard) + int64(seq%2)) * markSlot
}

func encodeMark(shard uint16, seq uint64, v markValue) []byte {
	b := make([]byte, 0, markSize)
	b = append(b, markMagic...)
	b = binary.BigEndian.AppendUint16(b, markVersion)
	b = binary.BigEndian.AppendUint16(b, shard)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = binary.BigEndian.AppendUint64(b, v.term)
	b = binary.BigEndian.AppendUint64(b, v.index)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeMark reads a slot; blank says that it was never written.
func decodeMark(b []byte, shard uint16) (seq uint64, v markValue, blank, ok bool) {
	blank = true
	for _, c := range b {
		blank = blank && c == 0
	}
	if len(b) != markSize || string(b[:4]) != markMagic || binary.BigEndian.Uint16(b[4:]) != markVersion ||
		binary.BigEndian.Uint16(b[6:]) != shard ||
		binary.BigEndian.Uint32(b[markSize-4:]) != crc32.Checksum(b[:markSize-4], castagnoli) {
		return 0, markValue{}, blank, false
	}
	return binary.BigEndian.Uint64(b[8:]), markValue{binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])}, false, true
}

// Mark opens the mark of a shard. It fails with ErrMark when a mark was there
// before and cannot be read. All calls for one shard return the same Mark.
func (s *Store) Mark(shard uint16) (*Mark, error) {
	m := s.marks
	m.write.Lock()
	defer m.write.Unlock()
	m.mu.Lock()
	k := m.all[shard]
	m.mu.Unlock()
	if k != nil {
		return k, nil
	}
	k = &Mark{marks: m, shard: shard}
	found, err := k.loadLocked()
	if err != nil {
		return nil, err
	}
	if !found {
		if err := k.createLocked(); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	m.all[shard] = k
	m.mu.Unlock()
	return k, nil
}

// loadLocked reads both slots.
func (k *Mark) loadLocked() (found bool, err error) {
	damaged := false
	for slot := range uint64(2) {
		b := make([]byte, markSize)
		n, err := k.marks.file.ReadAt(b, markOffset(k.shard, slot))
		if err != nil && !errors.Is(err, io.EOF) {
			return false, k.marks.store.fail(fmt.Errorf("read high-water mark: %w", err))
		}
		seq, v, blank, ok := decodeMark(b[:n], k.shard)
		switch {
		case ok && (!found || seq > k.seq):
			found, k.seq, k.want, k.onDisk = true, seq, v, v
		case !ok && !blank:
			damaged = true
		}
	}
	if damaged && !found {
		return false, fmt.Errorf("shard %d: %w (%s)", k.shard, ErrMark, k.marks.store.path("marks", "marks"))
	}
	if damaged {
		k.marks.store.o.Log.Warn("a high-water mark was torn; the one before it counts", "shard", k.shard, "term", k.want.term, "index", k.want.index)
	}
	return found, nil
}

// createLocked writes the first mark of a shard, and into the log that there is
// one: without it a lost file would look like a new one.
func (k *Mark) createLocked() error {
	s := k.marks.store
	guard := nameKey(k.shard, kindGuard, nil)
	_, closer, err := s.log.Get(guard)
	if err == nil {
		return errors.Join(fmt.Errorf("shard %d: %w (%s)", k.shard, ErrMark, s.path("marks", "marks")), closer.Close())
	}
	if !errors.Is(err, pebble.ErrNotFound) {
		return s.fail(fmt.Errorf("read log: %w", err))
	}
	if err := k.marks.syncLocked(map[*Mark]markValue{k: {}}); err != nil {
		return err
	}
	batch := s.log.NewBatch()
	if err := batch.Set(guard, nil, nil); err != nil {
		return errors.Join(err, batch.Close())
	}
	return s.commit("write mark's guard", batch, pebble.Sync)
}

// Value is the mark as it is on disk.
func (m *Mark) Value() (term, index uint64) {
	m.marks.mu.Lock()
	defer m.marks.mu.Unlock()
	return m.onDisk.term, m.onDisk.index
}

// Raise notes a synced entry; the file follows at most 100 ms later. What is
// not above the mark changes nothing.
func (m *Mark) Raise(term, index uint64) {
	v := markValue{term, index}
	m.marks.mu.Lock()
	higher := m.want.less(v)
	if higher {
		m.want = v
	}
	m.marks.mu.Unlock()
	if !higher {
		return
	}
	select {
	case m.marks.kick <- struct{}{}:
	default: // a kick is waiting already
	}
}

// Lower sets the mark and returns when it is synced: before every legal
// shortening of the log.
func (m *Mark) Lower(term, index uint64) error {
	v := markValue{term, index}
	m.marks.write.Lock()
	defer m.marks.write.Unlock()
	m.marks.mu.Lock()
	m.want = v
	m.marks.mu.Unlock()
	return m.marks.syncLocked(map[*Mark]markValue{m: v})
}
