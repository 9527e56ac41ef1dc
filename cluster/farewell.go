package cluster

import (
	"context"
	"sync"
)

// Depart gives the node what has its process take no mail any more. It is
// called once the map says that the node is to leave, whoever asked for that
// and whatever became of the asker; until it has returned the node is not
// dropped from the map, so that no client is refused because a member left. An
// error is logged, and the node leaves all the same. Depart is called before
// Run; a node without it leaves as soon as it has no replica.
func (n *Node) Depart(quieten func(context.Context) error) {
	n.quieten = quieten
	n.serves.Store(true)
}

// farewell is the end of the node's serving, once. It belongs to the keeper.
type farewell struct {
	begun   bool
	running sync.WaitGroup
}

// look begins it when the node is to leave, and does not wait for its end.
func (f *farewell) look(ctx context.Context, k *keeper) {
	x, ok := k.acted.Member(k.o.Name)
	if f.begun || !ok || !x.Leaving || x.RaftID() != k.papers.RaftID() || k.quieten == nil {
		return
	}
	f.begun = true
	k.o.Log.Info("this node is to leave the cluster: it takes no mail any more")
	f.running.Go(func() {
		if err := k.quieten(ctx); err != nil {
			k.o.Log.Warn("this node leaves, and not all sessions have ended", "err", err)
		}
		k.serves.Store(false)
	})
}
