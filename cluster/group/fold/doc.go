// Package fold turns the committed entries of a shard into its state: it is the
// finite state machine that hashicorp/raft drives.
//
// The effects of a batch, the applied index and the running digest reach the
// state together. An entry whose fold panics stops the shard, not the node
// (PROTOCOL 22). A local snapshot is a marker: it has no data, since the state
// itself is durable (PROTOCOL 2).
package fold
