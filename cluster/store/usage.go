package store

import "quorumta/cluster/store/usage"

// Usage is what the store takes of the machine, for metrics. All but Stalls and
// Full are bytes.
type Usage struct {
	Log, State usage.Pebble
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

// Usage measures the store; it is meant for scrapes, not for each message.
func (s *Store) Usage() Usage {
	log, state := s.log.Metrics(), s.state.Metrics()
	u := Usage{
		Log:    usage.Of(log),
		State:  usage.Of(state),
		Cache:  log.BlockCache.Size,
		Stalls: s.stalls.Load(),
		Full:   s.ballast.Full(),
	}
	u.State.WAL = 0 // Pebble derives the figure, but there is none
	if disk, err := s.o.FS.GetDiskUsage(s.o.Dir); err == nil {
		u.Free, u.Total = disk.AvailBytes, disk.TotalBytes
	}
	memtables := uint64(s.o.MemoryBytes)
	u.Reserve = u.Log.Reserve(memtables) + u.State.Reserve(memtables)
	return u
}
