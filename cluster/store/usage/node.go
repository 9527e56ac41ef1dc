package usage

// Node is what the store of a node takes of the machine, for metrics. All but Stalls and
// Full are bytes.
type Node struct {
	Log, State Pebble
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
