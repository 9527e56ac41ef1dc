package cluster

import (
	"fmt"
	"math"

	"quorumta/cluster/control"
	"quorumta/cluster/disk"
	"quorumta/cluster/group"
)

func (n *Node) newDiskWatch() (*disk.Watch, error) {
	return disk.New(disk.Options{
		Ages: func() (ages []disk.Age) {
			for _, r := range n.desk.All() {
				age := r.DiskAge()
				ages = append(ages, disk.Age{Age: age, Leads: age > group.SlowDisk && r.Status().Leads})
			}
			return ages
		},
		Slow:    group.SlowDisk,
		Excused: n.mostAreSlow,
		Fail:    n.fatal,
		Free:    n.free,
		Dir:     n.o.Dir,
		Log:     n.o.Log,
		Meter:   n.o.Meter,
	})
}

// mostAreSlow reports whether a majority of the members has slow disks.
func (n *Node) mostAreSlow() bool {
	slow := n.peers.Slow()
	if n.disk.Slow() {
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
	s, ok := n.atlas.Now().Shard(shard)
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
			free = n.disk.Free()
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
		if !n.answers(leader) {
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
