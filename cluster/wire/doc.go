// Package wire is a node's cluster port: one listener for Raft and for calls.
//
// The protocols are told apart by ALPN (quorumta-raft/1, h2, quorumta-join/1),
// or, without TLS, by their first byte. A Raft connection begins with a hello that
// names the cluster, the shard and both ends with their incarnations; what
// follows belongs to the Layer of that shard. Calls are Connect procedures on
// HTTP/2, one a method.
//
// Peers are known by their certificates: the name in it must be a member's. Who
// the members are can change while the port runs (SetMembers). A node that has
// no certificate yet can ask to join, and nothing else (Options.Join).
package wire
