// Package raftlog is Raft's log store and stable store on a Pebble that it shares
// with other shards: appends of all of them are synced together.
package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
)

// Options say what a log is kept in; every field is needed.
type Options struct {
	DB *pebble.DB
	// Commit commits a batch and closes it. Its error means that nothing is to be
	// believed any more.
	Commit func(what string, b *pebble.Batch, o *pebble.WriteOptions) error
	// Fail is told of a read that has failed, or found what cannot be, and makes
	// it the end of the node's work; what it returns is passed on.
	Fail func(error) error
	// Recent is how many bytes of decoded entries this log may keep.
	Recent func() int64
}

// Log is one shard's raft.LogStore, raft.StableStore and
// raft.MonotonicLogStore. StoreLogs, Set and SetUint64 return when synced.
// Entries that were given to it or came from it must not be changed.
type Log struct {
	o        Options
	shard    uint16
	appended atomic.Int64
	writes   Stopwatch
	gone     atomic.Bool // the shard was dropped
	ballots  ballots

	mu       sync.RWMutex // guards the rest; never held during a write
	first    uint64       // 0: the log is empty
	last     uint64
	lastTerm uint64
	recent   recent
	sizes    sizes
}

var (
	_ raft.LogStore          = (*Log)(nil)
	_ raft.StableStore       = (*Log)(nil)
	_ raft.MonotonicLogStore = (*Log)(nil)

	// ErrDropped: the shard's data was deleted while somebody still held its Log.
	// Open it anew.
	ErrDropped = errors.New("the shard's data has been deleted")

	// ErrDamaged: what is on disk cannot be what was written.
	ErrDamaged = errors.New("the log is damaged")

	// raft compares this text.
	errNotFound = errors.New("not found")
)

// pointDeletes is up to how many entries are deleted one by one: a range
// tombstone costs every later read a little until it is compacted.
const pointDeletes = 64

// Open opens the log of a shard.
func Open(shard uint16, o Options) (*Log, error) {
	l := &Log{o: o, shard: shard}
	if err := errors.Join(l.load(), l.loadBallots()); err != nil {
		return nil, fmt.Errorf("open log of shard %d: %w", shard, err)
	}
	return l, nil
}

// load finds out what the log holds.
func (l *Log) load() error {
	if err := l.ends(); err != nil || l.first == 0 {
		return err
	}
	from, to := bounds(l.shard, kindSize)
	err := l.scan(from, to, func(it *pebble.Iterator) error {
		v, err := it.ValueAndErr()
		if err == nil && len(v) == 8 {
			l.sizes.points = append(l.sizes.points, sizePoint{Index: keyIndex(it.Key()), Total: binary.BigEndian.Uint64(v)})
		}
		return err
	})
	if err != nil {
		return err
	}
	l.sizes.Cut(l.first, l.last)
	l.sizes.Total, err = l.measure(l.sizes.Last(), l.last)
	return err
}

// ends reads the first and last index from the log.
func (l *Log) ends() error {
	from, to := bounds(l.shard, kindEntry)
	it, err := l.o.DB.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return l.o.Fail(fmt.Errorf("read log: %w", err))
	}
	if it.First() {
		l.first = keyIndex(it.Key())
	}
	err = it.Error() // the next move forgets it
	if err == nil && it.Last() {
		l.last = keyIndex(it.Key())
	}
	if err = errors.Join(err, it.Close()); err != nil {
		return l.o.Fail(fmt.Errorf("read log: %w", err))
	}
	if l.last == 0 {
		return nil
	}
	var tail raft.Log
	if err := l.read(l.last, &tail); err != nil {
		return err
	}
	l.lastTerm = tail.Term
	return nil
}

// measure is the total at the index last: that of the newest size point and
// the lengths of the entries behind it.
func (l *Log) measure(point sizePoint, last uint64) (uint64, error) {
	total := point.Total
	from, to := indexKey(l.shard, kindEntry, point.Index+1), indexKey(l.shard, kindEntry, last+1)
	err := l.scan(from, to, func(it *pebble.Iterator) error {
		v := it.LazyValue()
		total += uint64(v.Len())
		return nil
	})
	return total, err
}

// scan calls f at each key from lo, included, to hi, excluded.
func (l *Log) scan(lo, hi []byte, f func(*pebble.Iterator) error) error {
	it, err := l.o.DB.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return l.o.Fail(fmt.Errorf("read log: %w", err))
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = f(it)
	}
	if err = errors.Join(err, it.Close()); err != nil {
		return l.o.Fail(fmt.Errorf("read log: %w", err))
	}
	return nil
}

// FirstIndex implements raft.LogStore.
func (l *Log) FirstIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.first, nil
}

// LastIndex implements raft.LogStore.
func (l *Log) LastIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last, nil
}

// Tail is index and term of the last entry; zeros if the log is empty.
func (l *Log) Tail() (index, term uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last, l.lastTerm
}

// GetLog implements raft.LogStore.
func (l *Log) GetLog(index uint64, log *raft.Log) error {
	l.mu.RLock()
	e, ok := l.recent.Get(index)
	held := l.holdsLocked(index)
	l.mu.RUnlock()
	switch {
	case ok:
		*log = e
		return nil
	case !held:
		// Pebble may show an entry whose sync has not returned yet.
		return raft.ErrLogNotFound
	}
	return l.read(index, log)
}

func (l *Log) holdsLocked(index uint64) bool {
	return l.first != 0 && index >= l.first && index <= l.last
}

// read reads an entry from disk.
func (l *Log) read(index uint64, log *raft.Log) error {
	v, closer, err := l.o.DB.Get(indexKey(l.shard, kindEntry, index))
	if errors.Is(err, pebble.ErrNotFound) {
		l.mu.RLock()
		defer l.mu.RUnlock()
		if !l.holdsLocked(index) { // deleted meanwhile
			return raft.ErrLogNotFound
		}
		return l.o.Fail(fmt.Errorf("shard %d: %w: entry %d is missing from its middle", l.shard, ErrDamaged, index))
	}
	if err == nil {
		decoded := decode(v, index, log)
		// Pebble answers a damaged blob by an empty value, and tells so at the end.
		if err = closer.Close(); err == nil {
			err = decoded
		}
	}
	if err != nil {
		return l.o.Fail(fmt.Errorf("shard %d: read entry %d: %w", l.shard, index, err))
	}
	return nil
}

// StoreLog implements raft.LogStore.
func (l *Log) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs implements raft.LogStore. It refuses entries that do not follow
// the last one.
func (l *Log) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	defer l.writes.Start()()
	l.mu.RLock()
	last, point, total := l.last, l.sizes.Last(), l.sizes.Total
	l.mu.RUnlock()

	size := 0
	for _, e := range logs {
		if last != 0 && e.Index != last+1 {
			return fmt.Errorf("shard %d: entry %d does not follow %d; the replica must be reopened", l.shard, e.Index, last)
		}
		last = e.Index
		size += sizeOf(e) + 2*(prefixLen+16)
	}
	batch := l.o.DB.NewBatchWithSize(size)
	var points []sizePoint
	before := total
	for _, e := range logs {
		n := sizeOf(e)
		op := batch.SetDeferred(indexLen, n)
		putIndexKey(op.Key, l.shard, kindEntry, e.Index)
		put(op.Value, e)
		if err := op.Finish(); err != nil {
			return errors.Join(err, batch.Close())
		}
		total += uint64(n)
		if point.Due(total) {
			point = sizePoint{Index: e.Index, Total: total}
			points = append(points, point)
			value := binary.BigEndian.AppendUint64(nil, total)
			if err := batch.Set(indexKey(l.shard, kindSize, e.Index), value, nil); err != nil {
				return errors.Join(err, batch.Close())
			}
		}
	}
	if err := l.commit("append to log", batch, pebble.Sync); err != nil {
		return err
	}
	l.appended.Add(int64(total - before))
	l.stored(logs, points, total)
	return nil
}

// stored makes synced entries visible.
func (l *Log) stored(logs []*raft.Log, points []sizePoint, total uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == 0 {
		l.first = logs[0].Index
	}
	tail := logs[len(logs)-1]
	l.last, l.lastTerm = tail.Index, tail.Term
	l.sizes.points = append(l.sizes.points, points...)
	l.sizes.Total = total
	l.recent.Add(logs, l.o.Recent())
}

// commit commits a batch unless the shard was dropped.
func (l *Log) commit(what string, batch *pebble.Batch, o *pebble.WriteOptions) error {
	if l.gone.Load() {
		return errors.Join(fmt.Errorf("shard %d: %s: %w", l.shard, what, ErrDropped), batch.Close())
	}
	return l.o.Commit(what, batch, o)
}

// DeleteRange implements raft.LogStore: it deletes from the beginning, from
// the end, or everything. From the beginning, and everything, it may delete
// while another goroutine appends; what that appends is above hi and stays. What is deleted from the end is gone for good when
// it returns; what is deleted from the beginning may return after a crash.
func (l *Log) DeleteRange(lo, hi uint64) error {
	l.mu.RLock()
	first, last := l.first, l.last
	l.mu.RUnlock()
	lo, hi = max(lo, first), min(hi, last)
	switch {
	case first == 0 || lo > hi:
		return nil
	case lo == first && hi == last:
		return l.empty(lo, hi)
	case lo == first:
		return l.cutHead(lo, hi)
	case hi == last:
		return l.cutTail(lo, hi)
	}
	return fmt.Errorf("shard %d: entries %d to %d cannot be deleted from the middle of %d to %d", l.shard, lo, hi, first, last)
}

// Drop deletes the whole log, synced: it disagrees with a snapshot.
func (l *Log) Drop() error {
	l.mu.Lock()
	l.first, l.last, l.lastTerm = 0, 0, 0
	l.recent.Clear()
	l.sizes = sizes{}
	l.mu.Unlock()
	defer l.writes.Start()()
	batch := l.o.DB.NewBatch()
	for _, kind := range []byte{kindEntry, kindSize} {
		from, to := bounds(l.shard, kind)
		if err := batch.DeleteRange(from, to, nil); err != nil {
			return errors.Join(err, batch.Close())
		}
	}
	return l.commit("drop log", batch, pebble.Sync)
}

// empty deletes [lo, hi], which was all there is. Entries may be appended
// meanwhile: they stay.
func (l *Log) empty(lo, hi uint64) error {
	l.mu.Lock()
	if l.last != hi {
		l.mu.Unlock()
		return l.cutHead(lo, hi)
	}
	l.first, l.last, l.lastTerm = 0, 0, 0
	l.recent.Clear()
	l.sizes = sizes{}
	l.mu.Unlock()
	return l.delete(lo, hi, pebble.Sync)
}

// cutHead deletes [lo, hi] from the beginning. The entries leave the sight of
// readers before they leave the disk.
func (l *Log) cutHead(lo, hi uint64) error {
	l.mu.Lock()
	if l.first == 0 || l.last <= hi { // dropped meanwhile
		l.mu.Unlock()
		return nil
	}
	l.first = max(l.first, hi+1)
	l.recent.Cut(l.first, l.last)
	l.sizes.Cut(l.first, l.last)
	l.mu.Unlock()
	return l.delete(lo, hi, pebble.NoSync)
}

// cutTail deletes [lo, hi] from the end. Only what appends may call it.
func (l *Log) cutTail(lo, hi uint64) error {
	var tail raft.Log
	if err := l.GetLog(lo-1, &tail); err != nil {
		return err
	}
	l.mu.Lock()
	l.last, l.lastTerm = tail.Index, tail.Term
	l.recent.Cut(l.first, l.last)
	l.sizes.Cut(l.first, l.last)
	point := l.sizes.Last()
	l.mu.Unlock()
	if err := l.delete(lo, hi, pebble.Sync); err != nil {
		return err
	}
	total, err := l.measure(point, tail.Index)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sizes.Total = total
	return err
}

// delete deletes [lo, hi] on disk.
func (l *Log) delete(lo, hi uint64, o *pebble.WriteOptions) error {
	defer l.writes.Start()()
	batch := l.o.DB.NewBatch()
	if err := l.deletes(batch, lo, hi); err != nil {
		return errors.Join(err, batch.Close())
	}
	return l.commit("cut log", batch, o)
}

// deletes puts the deletion of [lo, hi] into the batch.
func (l *Log) deletes(batch *pebble.Batch, lo, hi uint64) error {
	sizesFrom, sizesTo := indexKey(l.shard, kindSize, lo), indexKey(l.shard, kindSize, hi+1)
	if hi-lo >= pointDeletes {
		return errors.Join(
			batch.DeleteRange(indexKey(l.shard, kindEntry, lo), indexKey(l.shard, kindEntry, hi+1), nil),
			batch.DeleteRange(sizesFrom, sizesTo, nil))
	}
	var points [][]byte
	err := l.scan(sizesFrom, sizesTo, func(it *pebble.Iterator) error {
		points = append(points, slices.Clone(it.Key()))
		return nil
	})
	for i := lo; i <= hi && err == nil; i++ {
		err = batch.Delete(indexKey(l.shard, kindEntry, i), nil)
	}
	for i := 0; i < len(points) && err == nil; i++ {
		err = batch.Delete(points[i], nil)
	}
	return err
}

// IsMonotonic implements raft.MonotonicLogStore: after a snapshot was
// installed raft drops the log whole.
func (l *Log) IsMonotonic() bool { return true }

// EntriesWithin is how many of the newest entries make up about the number of
// bytes, at least one: what raft's TrailingLogs is set to.
func (l *Log) EntriesWithin(bytes int64) uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.first == 0 {
		return 1
	}
	return l.sizes.Within(uint64(max(bytes, 0)), l.first, l.last)
}

// Retire has the log refuse every write from now on: its shard is dropped.
func (l *Log) Retire() { l.gone.Store(true) }

// Size is about the bytes of log appended since the store was opened: growth
// since the last snapshot is what triggers the next.
func (l *Log) Size() int64 { return l.appended.Load() }

// Oldest is how long the oldest write under way has been waiting, in
// nanoseconds; 0 if none is (PROTOCOL 30).
func (l *Log) Oldest() int64 { return int64(l.writes.Oldest()) }
