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
	full := 0
	ranks := make([]int, len(shards))
	for i, id := range shards {
		ranks[i] = q.rank(id, avoid)
	}
	for rank := range 4 {
		for i := range shards {
			k := (first + i) % len(shards)
			id := shards[k]
			if ranks[k] != rank {
				continue
			}
			err := q.way.Accepting(id)
			if err == nil {
				return id, nil
			}
			if errors.Is(err, cluster.ErrDiskFull) {
				full++
			}
		}
	}
	if full > 0 && full == len(shards) {
		return 0, ErrDiskFull
	}
	return 0, ErrUnavailable
}

// rank is what sort of shard it is, the best one 0.
func (q *Queue) rank(id uint16, avoid map[uint16]bool) int {
	rank := 0
	if q.desk.office(id) == nil {
		rank = 1
	}
	if avoid[id] {
		rank += 2
	}
	return rank
}
