package cluster

import (
	"context"
	"fmt"
	"math"
	"time"

	"quorumta/cluster/control"
	"quorumta/cluster/group"
)

const (
	diskInterval = 100 * time.Millisecond
	// How long a write may hang before the node gives up (PROTOCOL 30): a
	// leader's work waits for it, a follower's does not.
	leaderPatience   = 10 * time.Second
	followerPatience = 30 * time.Second
)

// watchDisk notices a disk that hangs, until ctx ends.
func (n *Node) watchDisk(ctx context.Context) {
	every(ctx, diskInterval, func(context.Context) {
		var oldest, leading time.Duration
		for _, g := range n.desk.all() {
			age := g.DiskAge()
			oldest = max(oldest, age)
			if age > group.SlowDisk && g.Status().Leads {
				leading = max(leading, age)
			}
		}
		slow := oldest > group.SlowDisk
		if n.health.pace(slow) {
			n.o.Log.Warn("the disk's pace has changed", "slow", slow, "oldest", oldest)
		}
		if (leading > leaderPatience || oldest > followerPatience) && !n.mostAreSlow() {
			n.fatal(fmt.Errorf("a write has been hanging for %s; check the disk below %s", oldest, n.o.Dir))
		}
	})
}

// mostAreSlow reports whether a majority of the members has slow disks.
func (n *Node) mostAreSlow() bool {
	slow := n.peers.Slow()
	if n.health.slow.Load() {
		slow++
	}
	return slow > (len(n.peers.Names())+1)/2
}

// free is the free space of the data directory's disk, bytes.
func (n *Node) free() uint64 {
	usage, err := n.o.FS.GetDiskUsage(n.o.Dir)
	if err != nil {
		return math.MaxInt64 // a file system that cannot tell has no floor
	}
	return usage.AvailBytes
}

// Accepting reports whether new messages may be proposed to the shard: it has
// a leader in reach, does not retire, and every live replica is above its floor
// of free disk. The error is ErrNotLeader, ErrDiskFull or ErrNoSuchShard.
func (n *Node) Accepting(shard ShardID) error {
	s, ok := n.atlas.get().Shard(shard)
	switch {
	case !ok || shard == 0:
		return fmt.Errorf("%w: %d", ErrNoSuchShard, shard)
	case s.Retiring:
		return fmt.Errorf("%w: shard %d retires", ErrNotLeader, shard)
	case !n.Healthy():
		return fmt.Errorf("%w: this node's disk is slow, or it has stopped", ErrNotLeader)
	}
	if err := n.reaches(shard); err != nil || n.o.FreeDisk == 0 {
		return err
	}
	for _, id := range s.Replicas {
		name, free := control.NameOf(id), uint64(math.MaxUint64)
		if name == n.o.Name {
			free = n.free()
		} else if o, alive := n.peers.Get(name); alive {
			free = o.Report.Free
		}
		if free < n.o.FreeDisk {
			return fmt.Errorf("%w: on %s", ErrDiskFull, name)
		}
	}
	return nil
}

// reaches reports whether the shard has a leader that can propose now, as far
// as this node can tell.
func (n *Node) reaches(shard ShardID) error {
	leader := n.Leader(shard)
	if leader != n.o.Name {
		if _, alive := n.peers.Get(leader); !alive {
			return fmt.Errorf("%w: no leader in reach", ErrNotLeader)
		}
		return nil
	}
	r, err := n.group(shard)
	if err != nil {
		return err
	}
	if _, ok := r.Term(); !ok {
		return fmt.Errorf("%w: the office is not held yet, or the lease has run out", ErrNotLeader)
	}
	return nil
}
