package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

const (
	compareInterval = time.Minute
	compareTimeout  = 30 * time.Second

	methodDigest   = "cluster.digest"
	methodDigestAt = "cluster.digest_at"
)

// digestRequest asks a shard's leader to compare its replicas.
type digestRequest struct {
	Shard ShardID `json:"shard"`
	Deep  bool    `json:"deep"`
}

// markRequest asks a replica what it was at a mark.
type markRequest struct {
	Shard ShardID `json:"shard"`
	Mark  []byte  `json:"mark"`
}

// Digest compares the replicas of every shard. The leader proposes a mark, and
// every replica says what it was when it came there, so that all speak of the
// same place in the log.
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
			if err := n.ask(ctx, leader, methodDigest, digestRequest{shard, deep}, &digests[i]); err != nil {
				digests[i].Replicas = []ReplicaDigest{{Node: leader, Error: err.Error()}}
			}
		})
	}
	asking.Wait()
	return digests, ctx.Err()
}

// digestHere compares the replicas of a shard that this node leads.
func (n *Node) digestHere(ctx context.Context, r digestRequest) (ShardDigest, error) {
	digest := ShardDigest{ID: r.Shard}
	g, err := n.group(r.Shard)
	if err != nil {
		return digest, err
	}
	var id [16]byte
	_, _ = rand.Read(id[:])
	mark, err := g.Mark(ctx, id, r.Deep)
	if err != nil {
		return digest, err
	}
	voters := g.Status().Voters
	digest.Replicas = make([]ReplicaDigest, len(voters))
	var asking sync.WaitGroup
	for i, id := range voters {
		asking.Go(func() {
			d := &digest.Replicas[i]
			name := nameOf(id)
			if err := n.ask(ctx, name, methodDigestAt, markRequest{r.Shard, mark}, d); err != nil {
				d.Error = err.Error()
			}
			d.Node = name
		})
	}
	asking.Wait()
	slices.SortFunc(digest.Replicas, func(a, b ReplicaDigest) int { return strings.Compare(a.Node, b.Node) })
	return digest, nil
}

// digestAt is what this node's replica was at the mark.
func (n *Node) digestAt(ctx context.Context, r markRequest) (ReplicaDigest, error) {
	g, err := n.group(r.Shard)
	if err != nil {
		return ReplicaDigest{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	d, err := g.DigestAt(ctx, r.Mark)
	if err != nil {
		return ReplicaDigest{}, fmt.Errorf("the replica did not come to the mark: %w", err)
	}
	return ReplicaDigest{Applied: d.Applied, Chain: d.Chain, SHA256: d.SHA256}, nil
}

// Differs reports whether two replicas that answered are not equal.
func (d ShardDigest) Differs() bool {
	var first *ReplicaDigest
	for i := range d.Replicas {
		r := &d.Replicas[i]
		if r.Error != "" {
			continue
		}
		if first == nil {
			first = r
		} else if r.Applied != first.Applied || r.Chain != first.Chain || r.SHA256 != first.SHA256 {
			return true
		}
	}
	return false
}

// compareDigests compares the replicas of the shards led here from time to
// time, where something has happened since.
func (n *Node) compareDigests(ctx context.Context) {
	compared := map[ShardID]uint64{}
	every(ctx, compareInterval, func(ctx context.Context) {
		for _, g := range n.desk.all() {
			shard, s := g.shard, g.Status()
			if !s.Leads || len(s.Voters) == 1 || s.Commit == compared[shard] {
				continue
			}
			within, cancel := context.WithTimeout(ctx, compareTimeout)
			d, err := n.digestHere(within, digestRequest{Shard: shard})
			cancel()
			if err != nil {
				continue
			}
			compared[shard] = g.Status().Commit
			n.alarms.digest(shard, d.Differs())
			if d.Differs() {
				n.o.Log.Error("the replicas of a shard differ; hold its deliveries and find out which is wrong: quorumta cluster digest --deep",
					"shard", shard, "replicas", d.Replicas)
			}
		}
	})
}

// alarms are the metrics that want an operator.
type alarms struct {
	slowDisk metric.Int64Gauge
	differ   metric.Int64Gauge
}

func newAlarms(m metric.Meter) (*alarms, error) {
	slowDisk, err := m.Int64Gauge("quorumta_raft_slow_disk",
		metric.WithDescription("1 while a write has been waiting for more than a second."))
	differ, err2 := m.Int64Gauge("quorumta_raft_digest_differs",
		metric.WithDescription("1 while the replicas of a shard led here are not equal."))
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("make metrics: %w", err)
	}
	return &alarms{slowDisk, differ}, nil
}

func (a *alarms) slow(is bool) { a.slowDisk.Record(context.Background(), number(is)) }

func (a *alarms) digest(shard ShardID, differs bool) {
	a.differ.Record(context.Background(), number(differs), metric.WithAttributes(attribute.Int("shard", int(shard))))
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
