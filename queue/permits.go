package queue

import (
	"time"

	"quorumta/queue/permits"
)

// Permit is what this node holds of a limit that all nodes share.
type Permit = permits.Permit

func (q *Queue) newPermits() *permits.Desk {
	return permits.New(permits.Options{
		Node:   q.self.Node,
		Others: q.others,
		Shards: q.node.Shards,
		Term:   q.node.Term,
		Leader: q.way.Leader,
		Call:   q.way.Call,
		Now:    time.Now,
	})
}

// Permit is what this node holds of the limit under a key: so many connections
// of all nodes together, 0 for no limit, and rates. It asks nobody; what is used
// of it is asked for in the background.
func (q *Queue) Permit(key string, connections int) *Permit {
	return q.permits.Permit(key, connections)
}
