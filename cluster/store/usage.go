package store

import "github.com/cockroachdb/pebble/v2"

// Usage is what the store takes of the machine, for metrics. All but Stalls are
// bytes.
type Usage struct {
	Log, State PebbleUsage
	// Cache is what blocks take in memory beside the memtables.
	Cache int64
	// Stalls counts how often writes had to wait for flushes or compactions.
	Stalls int64
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
	return u
}

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
