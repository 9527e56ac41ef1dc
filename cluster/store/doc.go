// Package store keeps a node's Raft logs and replicated states: two Pebbles,
// one with a synced WAL for the logs and votes of all shards, one without a WAL
// for their states, which are rebuilt from the logs.
//
// What holds:
//
//   - A write to a Log has reached the disk when it returns without an error.
//   - A State's applied index, term and running digest are in the same batch
//     as the effects, so that whatever a crash leaves is a true earlier state;
//     entries at or below it are not applied again.
//   - A State is durable up to what it had applied when FlushState was called.
//   - A Mark never lies above the log, except by damage to the log.
//   - After the first failed write, sync or read of our own files the Store is
//     dead: Options.Fatal was called, every later write fails with ErrDead, and
//     nothing is acknowledged any more.
//   - What is read is what was written, or there is an error that names the file.
//
// The last one in full. Blocks of tables and blobs, records of WAL and MANIFEST,
// labels, marks and streams carry checksums. What no checksum tells is a file
// that ends too early, or seems to: Pebble takes the first record that makes no
// sense in its newest WAL and its MANIFEST for the end. Package intact reads both
// before Pebble does, and marks in files of their own remember how far they
// went: for a log the newest entry and the number of terms and votes, for a
// MANIFEST its length. A mark follows the sync that it is about within 100 ms
// (mark.Lag) and the time of its own sync. So the unguarded window is this: what
// was synced in the last 100 ms before a crash, if the end of the newest WAL, or
// of the MANIFEST, is damaged as well; after a clean Close there is none. And a
// mark whose newer slot was damaged falls back to the one before.
//
// Damage of a WAL, a MANIFEST or a mark is found at the start, which is refused.
// Damage of a table or a blob is found by a read, or by a compaction: the node
// stops, and the next start, which finds out which shard is concerned, refuses
// that shard alone (Damaged) until Drop has made room for a new replica. It is not
// rebuilt from this node's log, even where that is whole: the log does not go back
// to the beginning. After damage whose shard is not known the next start reads all of them.
//
// Words: shard (one Raft group; both Pebbles give each a key prefix), label
// (index and term of a snapshot), marker (a snapshot without data: the state
// itself, flushed up to the label), received (a snapshot that came from another
// member, with its data), lineage (what tells a state from that of a restored
// backup), mark (the high-water mark of a log in a file of its own).
//
// Below it are: raftlog (a shard's log and votes), keys (how those of a state are
// made), mark (the files of marks), intact (what Pebble does not check), ballast
// (room for a full disk), note (what the next start must know), stream (the form
// in which a state travels), snapshot (labels and received data). Beside it, for
// those who use it: transfer (a snapshot in chunks, fetched beforehand), backup
// (the file that a cluster's states are kept in), gauges (metrics), throttle.
package store
