package state

import (
	"time"

	"quorumta/queue/event"
)

// suspend begins an era: what is open waits, though it was free in another one;
// what comes is free. It costs the shard's row alone: who is free stands in
// another due index than who waits.
func (f *folding) suspend(e *event.Suspended, at time.Time) Result {
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

// HeldBack counts the messages that are held or suspended, and how many of them
// are suspended.
func HeldBack(r Reader) (held, suspended uint64) {
	s := readShard(r)
	if !s.suspends(0) {
		return s.counts.Held, 0
	}
	suspended = s.counts.Messages - s.counts.Free
	return suspended + s.counts.FreeHeld, suspended
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
