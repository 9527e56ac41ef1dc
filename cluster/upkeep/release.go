package upkeep

import (
	"context"
	"slices"

	"quorumta/cluster/control"
	"quorumta/cluster/papers"
)

// Request asks a shard's leader whether a replica is no part of the shard: of a
// committed configuration, by a leader that holds the office.
type Request struct {
	Shard control.ShardID `json:"shard"`
	ID    string          `json:"id"` // Raft id
	// Map is the version of the map that gives the replica up.
	Map uint64 `json:"map"`
	// Lost: the map does not, and the replica is to be made anew.
	Lost bool `json:"lost"`
}

// Sound reports whether the leader, whose map it is, may answer with yes.
func (r Request) Sound(m control.Map) bool {
	s, _ := m.Shard(r.Shard)
	return m.Version >= r.Map && (r.Lost || !slices.Contains(s.Replicas, r.ID))
}

// release deletes replicas that went elsewhere or are damaged: where the shard
// is gone, or its leader says that they are no part of it any more.
func (u *Upkeep) release(ctx context.Context, m control.Map) {
	if m.Version == 0 {
		return
	}
	for _, id := range u.o.Papers.Replicas() {
		s, exists := m.Shard(id)
		stage := u.o.Papers.Stage(id)
		lost := stage == papers.Damaged
		ask := Request{id, u.o.Self, m.Version, lost}
		switch {
		case stage == papers.Dropping: // it was decided, and something went wrong
		case slices.Contains(s.Replicas, u.o.Self) && !lost:
			continue
		case exists && !u.letGo(ctx, s, ask):
			continue
		case !exists && id >= m.Next:
			continue
		}
		if err := u.drop(id); err != nil {
			u.o.Log.Error("cannot delete a replica", "shard", id, "err", err)
		}
	}
}

// letGo reports whether the leader does without the replica, which is closed
// then. The leader is asked once more after the closing: the map may have given
// the shard back meanwhile, and a replica that is open may have got a vote and
// acknowledged what nobody else has. One that is closed does neither, so that an
// answer which was asked for afterwards holds whatever the leader does next.
func (u *Upkeep) letGo(ctx context.Context, s control.Shard, ask Request) bool {
	if !u.o.Released(ctx, ask) {
		return false
	}
	if !u.o.Close(s.ID) || u.o.Released(ctx, ask) {
		return true
	}
	u.o.Log.Info("a replica that was to go is wanted again", "shard", s.ID)
	u.begin(s)
	return false
}

// drop deletes what the node has of a shard.
func (u *Upkeep) drop(shard control.ShardID) error {
	u.o.Close(shard)
	if err := u.o.Papers.Set(papers.Dropping, shard); err != nil {
		return err
	}
	if err := u.o.Drop(shard); err != nil {
		return err
	}
	u.o.Log.Info("the replica has been deleted: the shard does without it", "shard", shard)
	return u.o.Papers.Set(papers.Gone, shard)
}
