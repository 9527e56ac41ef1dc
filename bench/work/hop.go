package work

import (
	"context"
	"time"

	"quorumta/bench/sink"
)

// Hop is the next hop of all subjects: a sink that stays while they come and
// go.
type Hop struct {
	*sink.Sink

	cancel context.CancelFunc
	ran    chan struct{}
}

// hopAddress is on loopback, but not the address that peers call their own: a
// mail server that finds itself behind the next hop suspects a loop.
const hopAddress = "127.0.0.77:0"

// NewHop starts a next hop.
func NewHop(m sink.Mode) (*Hop, error) {
	s, err := sink.Listen(sink.Options{Listen: hopAddress, Mode: m})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &Hop{Sink: s, cancel: cancel, ran: make(chan struct{})}
	go func() {
		_ = s.Run(ctx)
		close(h.ran)
	}()
	return h, nil
}

// Close ends it.
func (h *Hop) Close() {
	h.cancel()
	<-h.ran
}

// Wait returns when the hop has seen so many recipients since a count before,
// or when nothing new has come for the patience, or when limit is over or ctx
// ends. It says when the last one was seen, to 10 ms, and how many there were.
func (h *Hop) Wait(ctx context.Context, before, want int64, patience, limit time.Duration) (last time.Time, got int64) {
	last = time.Now()
	deadline := last.Add(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		now := time.Now()
		n := h.Stats().Recipients - before
		if n != got {
			last, got = now, n
		}
		if got >= want || now.Sub(last) > patience || now.After(deadline) {
			return last, got
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last, got
		}
	}
}
