package store

import "github.com/cockroachdb/pebble/v2"

// Usage is what the store takes of the machine, for metrics. All but Stalls and Full
// are bytes.
type Usage struct {
	Log, State PebbleUsage
	// Cache is what blocks take in memory beside the memtables.
	Cache int64
	// Stalls counts how often writes had to wait for flushes or compactions.
	Stalls int64
	// Full counts how often a write has found the disk full; the ballast is gone
	// then.
	Full int64
	// Free is what is left of the Total that the data directory's disk holds, both
	// 0 where the file system cannot tell.
	Free, Total uint64
	// Reserve is what must be free for the store to go on with outcomes and
	// removals when nothing new is accepted: no floor of free disk may lie below
	// it.
	Reserve uint64
}

// PebbleUsage is the share of one Pebble.
type PebbleUsage struct {
	// Disk is what its files take.
	Disk uint64
	// Memtables is what is written and not flushed yet, and its room.
	Memtables uint64
	// WAL, Flushed and Compacted were written to disk since the store was
	// opened.
	WAL, Flushed, Compacted uint64
	// Debt is what compactions still have to read and write.
	Debt uint64
}

// Usage measures the store; it is meant for scrapes, not for each message.
func (s *Store) Usage() Usage {
	log, state := s.log.Metrics(), s.state.Metrics()
	u := Usage{
		Log:    pebbleUsage(log),
		State:  pebbleUsage(state),
		Cache:  log.BlockCache.Size,
		Stalls: s.stalls.Load(),
	}
	u.State.WAL = 0 // Pebble derives the figure, but there is none
	u.Full = s.ballast.Full()
	if disk, err := s.o.FS.GetDiskUsage(s.o.Dir); err == nil {
		u.Free, u.Total = disk.AvailBytes, disk.TotalBytes
	}
	u.Reserve = s.reserve(log.Compact.EstimatedDebt) + s.reserve(state.Compact.EstimatedDebt)
	return u
}

// reserve is for one Pebble: its memtables become tables, and WAL on the way, and
// two compactions write what they read once more before that goes.
func (s *Store) reserve(debt uint64) uint64 {
	return uint64(s.o.MemoryBytes) + 2*max(leastMerge, min(debt, mostMerge))
}

// What one compaction is taken to write at least and at most.
const (
	leastMerge = 64 << 20
	mostMerge  = 1 << 30
)

func pebbleUsage(m *pebble.Metrics) PebbleUsage {
	u := PebbleUsage{
		Disk:      m.DiskSpaceUsage(),
		Memtables: m.MemTable.Size,
		WAL:       m.WAL.BytesWritten,
		Debt:      m.Compact.EstimatedDebt,
	}
	for _, level := range m.Levels {
		u.Flushed += level.TableBytesFlushed + level.BlobBytesFlushed
		// Pebble v2.1.7 counts the blobs of a flush as compacted too.
		u.Compacted += level.TableBytesCompacted + level.BlobBytesCompacted - min(level.BlobBytesFlushed, level.BlobBytesCompacted)
	}
	return u
}
