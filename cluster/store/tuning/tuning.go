// Package tuning is how the two Pebbles of a node are set.
package tuning

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// How Node.MemoryBytes is spent. One block cache serves both Pebbles, and
// they reserve their memtables in it: what the memtables do not use caches
// blocks, and the sum stays below its size. A memtable gets an
// eighth: the longer the state's is, the more mail comes and goes without being
// flushed. Three of each may be under way before writes wait, so that at most
// 3/4 are memtables.
const (
	share        = 8
	memtables    = 3
	minMemtable  = 256 << 10
	maxMemtable  = 64 << 20
	separateFrom = 1024 // bytes of value that move it out of the tables

	// overlaps is how many overlapping flushes are read beside each other,
	// counted twice as Pebble does, before they are merged. Their tables hold
	// keys alone, so they are small and their filters answer most reads, while
	// each merge rewrites what lies below: at Pebble's usual 4 every flush of
	// the state was one, and they took a quarter of the node's time.
	overlaps = 20
	// dense is the share of a table's blocks that must be full of tombstones for
	// it to be merged at once. Every flush of a busy state passes Pebble's 0.1,
	// since mail comes and goes within it: each then rewrote what lay below, a
	// tenth of the node's time. What drains a backlog passes this.
	dense = 0.5
	// stateTable is the size of the state's youngest tables, in bytes; the next
	// level's are twice as large, and so on. A flush is cut where a table would
	// span ten times its size of what lies below. New mail has a few narrow
	// places in the key space, one for each kind of row: tables that reach from
	// one to the next have each merge rewrite what is queued between them. At
	// Pebble's 2 MB that took a quarter of a node's time beside a million messages.
	stateTable = 512 << 10
	// logTable is the size of the log's youngest tables, in bytes, with what they
	// refer to: one for each flush. Each takes a file for its keys and one for its
	// values, and to make a file takes a millisecond of ext4 where many were deleted
	// just now: at Pebble's 2 MB a fifth of all files that large messages made.
	logTable = maxMemtable
)

// Node is what both Pebbles of a node share; every field is needed. The functions
// are told which Pebble it is, "log" or "state".
type Node struct {
	FS    vfs.FS
	Cache *pebble.Cache
	// MemoryBytes is for the memtables and the cache of both.
	MemoryBytes int64
	// Fatal: a write or sync has failed. Background: a flush or compaction has.
	Fatal, Background func(what string, err error)
	// Stalled: writes wait for flushes or compactions.
	Stalled func()
	Logger  *slog.Logger
}

// common is what the two have in common.
func (n Node) common(what string) *pebble.Options {
	log := pebbleLog{node: n, what: what}
	o := &pebble.Options{
		FS:                          blobs{n.FS, func(err error) { n.Background(what, err) }},
		Cache:                       n.Cache,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                uint64(min(max(n.MemoryBytes/share, minMemtable), maxMemtable)),
		MemTableStopWritesThreshold: memtables,
		L0CompactionThreshold:       overlaps,
		L0StopWritesThreshold:       64,
		FlushDelayDeleteRange:       10 * time.Second,
		MaxOpenFiles:                1000,
		CompactionConcurrencyRange:  func() (int, int) { return 1, max(1, runtime.GOMAXPROCS(0)) },
		Logger:                      log,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { n.Background(what, err) },
			// Whoever came upon it gets an error too, and decides.
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				n.Logger.Error("a file is damaged", "store", what, "path", i.Path)
			},
			WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
				n.Stalled()
				n.Logger.Warn("writes wait for the disk", "store", what, "reason", i.Reason)
			},
		},
	}
	o.Experimental.TombstoneDenseCompactionThreshold = dense
	// Entries and content are written once and deleted soon: kept beside the
	// tables they are not rewritten by compactions.
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled:               true,
			MinimumSize:           separateFrom,
			MaxBlobReferenceDepth: 500,
			TargetGarbageRatio:    0.5,
			RewriteMinimumAge:     time.Minute,
		}
	}
	return o
}

// Log are the options of the Pebble of logs, votes and terms.
func (n Node) Log() *pebble.Options {
	o := n.common("log")
	o.TargetFileSizes[0] = logTable
	return o
}

// State are the options of the Pebble of states: no WAL, and filters, since
// most reads of a fold ask for a key that may not be there.
func (n Node) State() *pebble.Options {
	o := n.common("state")
	o.DisableWAL = true
	o.TargetFileSizes[0] = stateTable
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// pebbleLog hands Pebble's log to ours. Fatalf must not return in Pebble's
// eyes; where it does, the store is dead already and refuses what follows.
type pebbleLog struct {
	node Node
	what string
}

// Infof implements pebble.Logger.
func (l pebbleLog) Infof(format string, args ...any) {
	if !l.node.Logger.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	l.node.Logger.Debug(fmt.Sprintf(format, args...), "store", l.what)
}

// Errorf implements pebble.Logger.
func (l pebbleLog) Errorf(format string, args ...any) {
	l.node.Logger.Warn(fmt.Sprintf(format, args...), "store", l.what)
}

// Fatalf implements pebble.Logger.
func (l pebbleLog) Fatalf(format string, args ...any) {
	l.node.Fatal(l.what, fmt.Errorf("%s: "+format, append([]any{l.what}, args...)...))
}
