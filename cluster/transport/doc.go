// Package transport is how the replicas of a shard talk: hashicorp/raft's
// network transport, with the lease that is kept in it (PROTOCOL 25) and the
// guards around what the library gets wrong.
//
// Heartbeats go through Raft's main loop (#695), appends are not pipelined
// (#612), are cut by bytes, and commit nothing beyond themselves; votes are
// withheld after a restart; a node with a slow disk falls silent (#503), and
// one that drains leaves the office to others. Who is offered the office stands
// for election at once (Campaign), in the one term for which that is safe.
package transport
