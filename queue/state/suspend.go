package state

import (
	"time"

	"quorumta/queue/event"
)

// suspend begins an era: what is open waits, what comes is free. It costs the
// shard's row alone: who is free stands in another due index than who waits.
func (f *folding) suspend(e *event.Suspended, at time.Time) Result {
	if f.shard.suspends(0) {
		return Stale
	}
	f.shard.suspension = Suspension{At: at, By: e.By, Backup: e.Backup}
	f.shard.era++
	f.shard.counts.Free, f.shard.counts.FreeHeld = 0, 0
	return Applied
}

// resume ends the suspension of the shard.
func (f *folding) resume() Result {
	if !f.shard.suspends(0) {
		return Stale
	}
	f.shard.suspension = Suspension{}
	return Applied
}

// Suspended tells why messages of the shard wait; false if none does for that
// reason.
func Suspended(r Reader) (Suspension, bool) {
	s := readShard(r)
	return s.suspension, s.suspends(0)
}

// indexes are the eras whose due indexes count now.
func (s *shard) indexes() []uint32 {
	if s.suspends(0) {
		return []uint32{s.era}
	}
	eras := make([]uint32, s.era+1)
	for i := range eras {
		eras[i] = uint32(i)
	}
	return eras
}
