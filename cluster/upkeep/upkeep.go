// Package upkeep keeps the replicas of a node as the cluster's map has them: it
// opens those that the map gives to the node, opens those of a sealed shard
// anew, has stopped ones go on where they can and made anew where they cannot,
// and deletes those that went elsewhere.
package upkeep

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"quorumta/cluster/control"
	"quorumta/cluster/papers"
	"quorumta/cluster/store"
)

// pause is how long a shard that cannot be opened is left alone.
const pause = 30 * time.Second

// Replica is a replica that is open.
type Replica interface {
	// Shard is the replica's shard.
	Shard() uint16
	// Sealed is the version of the map that had sealed the shard when the
	// replica was opened; 0 where none had.
	Sealed() uint64
	// Stopped is why the replica has stopped, or nil, and the entry that cannot
	// be folded where that is why, or 0.
	Stopped() (poison uint64, why error)
	// Resume lets it go on.
	Resume() error
}

// Options reach the node's replicas; every field is needed.
type Options struct {
	Self   string // the node's Raft id
	Papers *papers.Papers
	// Replicas are those that are open, ascending by shard; Has reports whether
	// that of the shard is.
	Replicas func() []Replica
	Has      func(shard uint16) bool
	// Open opens the replica of a shard; Close closes it, and reports whether it
	// was open: nothing of it runs then, and nothing that was given to it is
	// still under way. Drop deletes what is closed.
	Open  func(s control.Shard) error
	Close func(shard uint16) bool
	Drop  func(shard uint16) error
	// Released asks the shard's leader; no answer is a no.
	Released func(ctx context.Context, r Request) bool
	Log      *slog.Logger
}

// Upkeep belongs to one goroutine.
type Upkeep struct {
	o       Options
	waiting map[uint16]time.Time // shards that cannot be opened, until when not tried
}

// New makes an upkeep.
func New(o Options) *Upkeep { return &Upkeep{o: o, waiting: map[uint16]time.Time{}} }

// Act does what the map asks for. The map is one that the node has kept: the
// next start knows it too.
func (u *Upkeep) Act(ctx context.Context, m control.Map) {
	u.seal(m)
	u.open(m)
	u.resume(m)
	u.renew()
	u.release(ctx, m)
}

// seal opens the replicas of a sealed shard anew, so that nothing which was
// proposed before is still on its way: the shard goes when its leader finds it
// empty after that.
func (u *Upkeep) seal(m control.Map) {
	for _, r := range u.o.Replicas() {
		s, ok := m.Shard(r.Shard())
		if ok && s.Sealed != 0 && r.Sealed() != s.Sealed {
			u.o.Close(s.ID)
			u.begin(s)
		}
	}
}

// open opens the replicas that the map gives to this node.
func (u *Upkeep) open(m control.Map) {
	for _, s := range m.Groups() {
		if u.o.Has(s.ID) || !slices.Contains(s.Replicas, u.o.Self) || time.Now().Before(u.waiting[s.ID]) {
			continue
		}
		if stage := u.o.Papers.Stage(s.ID); stage != papers.Damaged && stage != papers.Dropping {
			u.begin(s)
		}
	}
}

func (u *Upkeep) begin(s control.Shard) {
	if err := u.o.Open(s); err != nil {
		u.o.Log.Error("cannot open a replica", "shard", s.ID, "err", err)
		u.waiting[s.ID] = time.Now().Add(pause)
	}
}

// resume lets replicas go on that have stopped at an entry which is skipped
// now, maybe before they knew.
func (u *Upkeep) resume(m control.Map) {
	for _, r := range u.o.Replicas() {
		if poison, _ := r.Stopped(); poison != 0 && m.Skipped(r.Shard(), poison) {
			if err := r.Resume(); err != nil {
				u.o.Log.Info("a replica does not resume", "shard", r.Shard(), "err", err)
			}
		}
	}
}

// renew has replicas made anew that have stopped because what they have is
// damaged or lost in part.
func (u *Upkeep) renew() {
	for _, r := range u.o.Replicas() {
		_, why := r.Stopped()
		if !errors.Is(why, store.ErrDamaged) {
			continue
		}
		if err := u.o.Papers.Set(papers.Damaged, r.Shard()); err != nil {
			u.o.Log.Error("a replica is damaged, and that cannot be noted", "shard", r.Shard(), "err", err)
			continue
		}
		u.o.Log.Error("a replica is damaged; it is made anew from the others", "shard", r.Shard(), "err", why)
		u.o.Close(r.Shard())
	}
}
