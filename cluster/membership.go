package cluster

import (
	"context"
	"crypto/rand"
	"time"

	"quorumta/cluster/control"
	"quorumta/cluster/council"
)

// The methods of this file change the cluster. Each can be called on any
// member, is decided by the leader of the control group, and has been committed
// when it returns nil. ErrNotLeader means that the control group has no
// majority; mail flows all the same.

// Join makes a node a member, or makes it the new incarnation of a member whose
// old one is not alive. Repeating it changes nothing. The node may be started
// afterwards.
func (n *Node) Join(ctx context.Context, m control.Member) error {
	return n.council.Order(ctx, council.Order{Act: council.Join, Member: m})
}

// Remove has a member leave: its replicas move to others, then it is dropped
// from the map, and its process ends with ErrRemoved. Without force it is
// refused where no majority of the members that remain is alive.
func (n *Node) Remove(ctx context.Context, name string, force bool) error {
	return n.council.Order(ctx, council.Order{Act: council.Remove, Name: name, Force: force})
}

// NewToken makes a secret that lets one node join within its life.
func (n *Node) NewToken(ctx context.Context, life time.Duration) (secret []byte, err error) {
	secret = make([]byte, 16)
	_, _ = rand.Read(secret)
	return secret, n.council.Order(ctx, council.Order{Act: council.Token, Secret: secret, Expires: time.Now().Add(life).UTC()})
}

// RedeemToken makes a node a member as Join does, and uses the token up; it
// does both or neither. It fails with ErrToken.
func (n *Node) RedeemToken(ctx context.Context, secret []byte, m control.Member) error {
	return n.council.Order(ctx, council.Order{Act: council.Redeem, Secret: secret, Member: m})
}

// SetShards sets how many shards take new mail; 0 means one per member.
func (n *Node) SetShards(ctx context.Context, count int) error {
	return n.council.Order(ctx, council.Order{Act: council.Shards, Count: count})
}

// FinishUpgrade lets events be written of the newest level that all members
// know. From then on there is no way back to older programs.
func (n *Node) FinishUpgrade(ctx context.Context) error {
	return n.council.Order(ctx, council.Order{Act: council.Upgrade})
}

// Skip has no replica of the shard fold the entry, and lets the replicas that
// have stopped at it go on (PROTOCOL 22). Without force it is refused unless one
// that answers says that it has stopped there.
func (n *Node) Skip(ctx context.Context, shard ShardID, index uint64, force bool) error {
	return n.council.Order(ctx, council.Order{Act: council.Skip, Shard: shard, Index: index, Force: force})
}
