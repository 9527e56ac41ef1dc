package council

import (
	"context"
	"sync"
	"time"

	"quorumta/cluster/control"
)

// announceTimeout bounds one attempt to tell the control group of a change.
const announceTimeout = 5 * time.Second

// Announcer tells the control group what has changed of this node since it was
// told last. It belongs to one goroutine.
type Announcer struct {
	council *Council
	self    control.Member
	telling chan struct{} // a place for who tells
	tellers sync.WaitGroup
}

// NewAnnouncer makes an announcer for the node, a member as it is now.
func (c *Council) NewAnnouncer(self control.Member) *Announcer {
	return &Announcer{council: c, self: self, telling: make(chan struct{}, 1)}
}

// Look compares the node with what the map says of it, and tells a difference
// without waiting for the answer.
func (a *Announcer) Look(ctx context.Context, m control.Map) {
	x, ok := m.Member(a.self.Name)
	own := a.self
	if m.Version == 0 || !ok || x.RaftID() != own.RaftID() ||
		(x.Address == own.Address && x.Version == own.Version && x.Level == own.Level) {
		return
	}
	select {
	case a.telling <- struct{}{}:
	default:
		return // it is being told
	}
	a.tellers.Go(func() {
		defer func() { <-a.telling }()
		ctx, cancel := context.WithTimeout(ctx, announceTimeout)
		defer cancel()
		if err := a.council.Order(ctx, Order{Act: Announce, Member: own}); err != nil && ctx.Err() == nil {
			a.council.o.Log.Warn("the cluster does not take what this node says of itself", "err", err)
		}
	})
}

// Wait returns when nothing is being told any more.
func (a *Announcer) Wait() { a.tellers.Wait() }
