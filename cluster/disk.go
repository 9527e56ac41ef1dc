package cluster

import (
	"context"
	"fmt"
	"math"
	"time"

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
		for _, g := range n.groups {
			age := g.DiskAge()
			oldest = max(oldest, age)
			if age > group.SlowDisk && g.Status().Leads {
				leading = max(leading, age)
			}
		}
		slow := oldest > group.SlowDisk
		if n.slow.Swap(slow) != slow {
			n.o.Log.Warn("the disk's pace has changed", "slow", slow, "oldest", oldest)
			n.alarms.slow(slow)
		}
		if (leading > leaderPatience || oldest > followerPatience) && !n.peers.mostAreSlow() {
			n.fatal(fmt.Errorf("a write has been hanging for %s; check the disk below %s", oldest, n.o.Dir))
		}
	})
}

// Healthy reports whether the node should take mail: its storage works, and
// the disk's writes return within a second.
func (n *Node) Healthy() bool { return n.err() == nil && !n.slow.Load() }

// free is the free space of the data directory's disk, bytes.
func (n *Node) free() uint64 {
	usage, err := n.o.FS.GetDiskUsage(n.o.Dir)
	if err != nil {
		return math.MaxInt64 // a file system that cannot tell has no floor
	}
	return usage.AvailBytes
}

// Accepting reports whether new messages may be proposed to the shard: it has
// a leader in reach, and every live replica is above its floor of free disk.
// The error is ErrNotLeader or ErrDiskFull.
func (n *Node) Accepting(shard ShardID) error {
	g, err := n.group(shard)
	if err != nil {
		return err
	}
	if !n.Healthy() {
		return fmt.Errorf("%w: this node's disk is slow", ErrNotLeader)
	}
	leader := n.Leader(shard)
	if leader == n.o.Name {
		if _, ok := g.Term(); !ok {
			return fmt.Errorf("%w: the office is not held yet, or the lease has run out", ErrNotLeader)
		}
	} else if _, alive := n.peers.get(leader); !alive {
		return fmt.Errorf("%w: no leader in reach", ErrNotLeader)
	}
	if n.o.FreeDisk == 0 {
		return nil
	}
	if n.free() < n.o.FreeDisk {
		return fmt.Errorf("%w: on %s", ErrDiskFull, n.o.Name)
	}
	for name := range n.peers.others {
		if o, alive := n.peers.get(name); alive && o.report.Free < n.o.FreeDisk {
			return fmt.Errorf("%w: on %s", ErrDiskFull, name)
		}
	}
	return nil
}
