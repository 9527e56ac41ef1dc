// Package cluster runs the Raft groups of a node over Pebble and knows nothing
// of mail.
//
// A Node has one replica of each shard that it is given. A shard's replicas
// feed committed entries to a Machine, whose effects and the applied index
// reach the state in one batch. Only a shard's leader proposes; Propose
// returns when a majority has the entry on stable storage and this node has
// applied it.
//
// Words: shard (one Raft group), office (a node's leadership of a shard in a
// term), lease (the time in which no other node can hold the office), member
// (a node with its incarnation).
package cluster
