// Package store keeps a node's Raft logs and replicated state: two Pebbles, one
// with a synced WAL for the logs and votes of all shards, one without a WAL for
// their states, which are rebuilt from the logs.
package store
