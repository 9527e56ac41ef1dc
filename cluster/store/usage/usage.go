// Package usage tells what a Pebble takes of the machine.
package usage

import "github.com/cockroachdb/pebble/v2"

// Pebble is the share of one Pebble, bytes.
type Pebble struct {
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

// What one compaction is taken to write at least and at most.
const (
	leastMerge = 64 << 20
	mostMerge  = 1 << 30
)

// Of reads the figures.
func Of(m *pebble.Metrics) Pebble {
	u := Pebble{
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

// Reserve is what must be free for it to go on: its memtables, of the size at
// most, become tables, with WAL on the way, and two compactions write what they
// read once more before that goes.
func (u Pebble) Reserve(memtables uint64) uint64 {
	return memtables + 2*max(leastMerge, min(u.Debt, mostMerge))
}
