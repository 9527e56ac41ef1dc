package council

import (
	"context"
	"fmt"
	"time"

	"quorumta/cluster/control"
)

// The acts of an Order. A name may change only with the version of the cluster.
const (
	Join     = "join"
	Remove   = "remove"
	Token    = "token"
	Redeem   = "redeem"
	Shards   = "shards"
	Upgrade  = "upgrade"
	Skip     = "skip"
	Announce = "announce"
)

// Order is what the leader of the control group is asked to decide.
type Order struct {
	Act     string          `json:"act"`
	Member  control.Member  `json:"member,omitzero"`
	Name    string          `json:"name,omitempty"`
	Force   bool            `json:"force,omitempty"`
	Secret  []byte          `json:"secret,omitempty"`
	Expires time.Time       `json:"expires,omitzero"`
	Count   int             `json:"count,omitempty"`
	Shard   control.ShardID `json:"shard,omitempty"`
	Index   uint64          `json:"index,omitempty"`
}

// Here carries an order out on the leader of the control group.
func (c *Council) Here(ctx context.Context, o Order) error {
	return c.decide(ctx, func(m control.Map) ([]control.Event, error) {
		switch o.Act {
		case Join:
			return m.Join(o.Member, c.o.Sight.Alive)
		case Remove:
			return m.Remove(o.Name, o.Force, c.o.Sight.Alive)
		case Token:
			return m.MakeToken(o.Secret, time.Now(), o.Expires)
		case Redeem:
			return m.Redeem(o.Secret, time.Now(), o.Member, c.o.Sight.Alive)
		case Shards:
			return m.Count(o.Count)
		case Upgrade:
			return m.Upgrade()
		case Skip:
			return m.Skip(o.Shard, o.Index, o.Force, c.o.Sight.poisoned(o.Shard))
		case Announce:
			return m.Announce(o.Member)
		}
		return nil, fmt.Errorf("the control group's leader does not know the order %q: upgrade it first", o.Act)
	})
}

// Order has the leader of the control group carry an order out. While there is
// no leader it waits, up to orderTimeout; orders may be repeated.
func (c *Council) Order(ctx context.Context, o Order) error {
	ctx, cancel := context.WithTimeout(ctx, orderTimeout)
	defer cancel()
	last := c.o.NotLeader
	for {
		if leader := c.o.Leader(); leader != "" {
			if last = c.o.Ask(ctx, leader, o); last == nil || !c.o.Again(last) {
				return last
			}
		}
		select {
		case <-time.After(orderPause):
		case <-ctx.Done():
			return fmt.Errorf("%w: the control group cannot decide; a majority of its members is needed (%w)", c.o.NotLeader, last)
		}
	}
}
