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
//
// Words: shard (one Raft group; both Pebbles give each a key prefix), label
// (index and term of a snapshot), marker (a snapshot without data: the state
// itself, flushed up to the label), received (a snapshot that came from another
// member, with its data), lineage (what tells a state from that of a restored
// backup), mark (the high-water mark of a log in a file of its own).
//
// Below it are the parts that need no Pebble: entry (how log entries lie on
// disk and in memory), mark (the file of marks), stream (the form in which a
// state travels), snapshot (labels and received data).
package store
