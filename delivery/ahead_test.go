package delivery

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"quorumta/internal/mail"
	"quorumta/queue"
	"quorumta/queue/event"
	"quorumta/queue/state"
)

// PROTOCOL 32: a connection claims two messages ahead of what is on record.
func TestAConnectionClaimsTwoAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t, nil)
		offices := make(chan *queue.Office, 1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- h.Offices(ctx, func(_ context.Context, o *queue.Office) { offices <- o })
		}()
		o := <-offices
		w := worker{d: h.delivery, unsettled: semaphore.NewWeighted(claimsAhead)}
		begin := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			id := mail.NewMessageID(time.Now(), 1, [5]byte{})
			m := &state.Message{Accepted: event.Accepted{ID: id}, Recipients: make([]state.Recipient, 1)}
			return w.begin(ctx, h.delivery.newAttempt(o, m, []uint32{0}))
		}
		for n, free := range []bool{true, true, false} {
			if err := begin(); errors.Is(err, context.DeadlineExceeded) == free {
				t.Errorf("claim %d: %v", n+1, err)
			}
		}
		w.unsettled.Release(1) // an outcome is on record
		if err := begin(); errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
		<-ended
	})
}
