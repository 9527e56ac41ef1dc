package queue

import (
	"errors"

	"quorumta/cluster"
)

// place chooses a shard that takes mail: one that this node leads, else one
// with a leader in reach. Shards to be avoided come last.
func (q *Queue) place(avoid map[uint16]bool) (uint16, error) {
	shards := q.node.Shards()
	first := int(q.turn.Add(1))
	chosen, best, full := uint16(0), 0, 0
	for i := range shards {
		id := shards[(first+i)%len(shards)]
		err := q.way.Accepting(id)
		if err != nil {
			if errors.Is(err, cluster.ErrDiskFull) {
				full++
			}
			continue
		}
		rank := 1
		if q.desk.office(id) != nil {
			rank = 2
		}
		if !avoid[id] {
			rank += 2
		}
		if rank > best {
			chosen, best = id, rank
		}
	}
	switch {
	case best > 0:
		return chosen, nil
	case full > 0 && full == len(shards):
		return 0, ErrDiskFull
	}
	return 0, ErrUnavailable
}
