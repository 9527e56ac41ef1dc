package store

import "quorumta/cluster/store/usage"

// Usage is what the store takes of the machine.
type Usage = usage.Node

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
