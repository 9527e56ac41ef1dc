package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/raft"

	"quorumta/cluster/digest"
	"quorumta/cluster/papers"
)

// ShardDigest compares the replicas of a shard.
type ShardDigest = digest.Shard

// ReplicaDigest is what one replica said.
type ReplicaDigest = digest.Replica

// Digest compares the replicas of every shard; deep, their whole states. It
// only looks: what a difference leads to is decided by the comparisons that
// run by themselves.
func (n *Node) Digest(ctx context.Context, deep bool) ([]ShardDigest, error) {
	shards := n.Shards()
	digests := make([]ShardDigest, len(shards))
	var asking sync.WaitGroup
	for i, shard := range shards {
		asking.Go(func() {
			digests[i].ID = shard
			leader := n.Leader(shard)
			if leader == "" {
				digests[i].Replicas = []ReplicaDigest{{Node: n.o.Name, Error: "the shard has no leader"}}
				return
			}
			if err := n.ask(ctx, leader, digest.MethodCompare, digest.Request{Shard: shard, Deep: deep}, &digests[i]); err != nil {
				digests[i].Replicas = []ReplicaDigest{{Node: leader, Error: err.Error()}}
			}
		})
	}
	asking.Wait()
	return digests, ctx.Err()
}

func (n *Node) newComparer() (*digest.Comparer, error) {
	return digest.New(digest.Options{
		Self:   n.o.Name,
		Led:    n.led,
		Voters: n.votersOf,
		Mark: func(ctx context.Context, shard uint16, id [16]byte, deep bool) ([]byte, error) {
			r, err := n.group(shard)
			if err != nil {
				return nil, err
			}
			return r.Mark(ctx, id, deep)
		},
		At: func(ctx context.Context, shard uint16, mark []byte) (at digest.Replica, err error) {
			r, err := n.group(shard)
			if err != nil {
				return at, err
			}
			if s := r.Status(); s.Stopped != "" {
				return at, fmt.Errorf("%w: %s", ErrStopped, s.Stopped)
			}
			d, err := r.DigestAt(ctx, mark)
			return digest.Replica{Applied: d.Applied, Chain: d.Chain, SHA256: d.SHA256}, err
		},
		Applied: func(shard uint16) uint64 {
			if r, open := n.desk.Get(shard); open {
				return r.Status().Applied
			}
			return 0
		},
		Stop:  n.stopWrong,
		Ask:   n.ask,
		Scrub: n.o.Scrub,
		Log:   n.o.Log,
		Meter: n.o.Meter,
	})
}

// led are the groups whose office this node holds, the control group included.
func (n *Node) led() (all []digest.Led) {
	for _, r := range n.desk.All() {
		if term, ok := r.Term(); ok {
			all = append(all, digest.Led{Shard: r.shard, Term: term, Commit: r.Status().Commit})
		}
	}
	return all
}

// votersOf are who votes in the shard.
func (n *Node) votersOf(shard uint16) (all []digest.Voter) {
	r, open := n.desk.Get(shard)
	if !open {
		return nil
	}
	for _, id := range r.Status().Voters {
		name := nameOf(id)
		o, alive := n.peers.Get(name)
		other := name != n.o.Name
		all = append(all, digest.Voter{
			Node:   name,
			Gone:   other && o.Report.Incarnation != "" && string(id) != name+"/"+o.Report.Incarnation,
			Silent: other && !alive,
		})
	}
	slices.SortFunc(all, func(a, b digest.Voter) int { return strings.Compare(a.Node, b.Node) })
	return all
}

// stopWrong stops a replica for good, this process and the next.
func (n *Node) stopWrong(shard uint16, why error) {
	r, open := n.desk.Get(shard)
	if !open {
		return
	}
	if err := n.papers.Set(papers.Wrong, shard); err != nil {
		n.fatal(fmt.Errorf("note that shard %d's replica is wrong: %w", shard, err))
		return
	}
	r.Stop(why)
}

// nameOf is the name in a Raft id.
func nameOf(id raft.ServerID) string {
	name, _, _ := strings.Cut(string(id), "/")
	return name
}
