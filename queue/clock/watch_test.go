package clock

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAWatchDistrustsAClockThatTheOthersContradict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var off, observed atomic.Int64
		w := NewWatch(Options{
			Now:    time.Now,
			Others: func() []string { return []string{"n2", "n3", "n4"} },
			Ask: func(_ context.Context, node string) (time.Time, error) {
				if node == "n4" {
					return time.Time{}, errors.New("down")
				}
				return time.Now().Add(time.Duration(off.Load())), nil
			},
			Observe: func(offset time.Duration) { observed.Store(int64(offset)) },
			Log:     slog.New(slog.DiscardHandler),
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.Run(ctx)
		}()
		for _, c := range []struct {
			off     time.Duration
			trusted bool
		}{{0, true}, {time.Hour, false}, {-time.Hour, false}, {time.Second, true}} {
			off.Store(int64(c.off))
			time.Sleep(every + time.Millisecond) // of virtual time
			synctest.Wait()
			if w.Trusted() != c.trusted || time.Duration(observed.Load()) != c.off {
				t.Errorf("others ahead by %v: trusted %v, observed %v", c.off, w.Trusted(), time.Duration(observed.Load()))
			}
		}
		cancel()
		<-ended
	})
}
