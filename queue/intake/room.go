package intake

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// mostFlying bounds the bytes of parts that are under way from this node to a
// shard (PROTOCOL 12). An upload waits for its turn, and its client with it: a
// shard that has too much before it refuses, and the message would have to begin
// again.
const mostFlying = 4 << 20

// rooms are what parts have on the way to each shard.
type rooms struct {
	mu     sync.Mutex
	shards map[uint16]*semaphore.Weighted
}

// enter waits for room; what it returns is called when the part has arrived.
func (r *rooms) enter(ctx context.Context, shard uint16, bytes int) (leave func(), err error) {
	r.mu.Lock()
	if r.shards == nil {
		r.shards = map[uint16]*semaphore.Weighted{}
	}
	room := r.shards[shard]
	if room == nil {
		room = semaphore.NewWeighted(mostFlying)
		r.shards[shard] = room
	}
	r.mu.Unlock()
	if err := room.Acquire(ctx, int64(bytes)); err != nil {
		return nil, err
	}
	return func() { room.Release(int64(bytes)) }, nil
}
