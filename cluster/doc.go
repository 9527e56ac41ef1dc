// Package cluster runs the Raft groups of a node over Pebble and knows nothing
// of mail.
//
// A Node has one replica of each shard that the cluster's map gives it. The map
// (package control) is replicated by the control group, which nothing waits for:
// a node serves from the last map that it holds. A shard's leader moves its
// configuration towards the map; replicas are opened and deleted as they come
// and go (keeper.go). A shard's replicas
// feed committed entries to a Machine, whose effects and the applied index
// reach the state in one batch. Only a shard's leader proposes; Propose
// returns when a majority has the entry on stable storage and this node has
// applied it.
//
// Words: shard (one Raft group), office (a node's leadership of a shard in a
// term), lease (the time in which no other node can hold the office), member
// (a node with its incarnation), map (who the members are, and which of them
// replicate each shard).
package cluster
