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

// A machine that starts with a wrong clock decides nothing by it: not before it
// has compared, which it does as soon as a majority answers, nor afterwards.
func TestAClockIsComparedBeforeItIsTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		var off atomic.Int64
		w := NewWatch(Options{
			Now:    time.Now,
			Others: func() []string { return []string{"n2", "n3"} },
			Ask: func(ctx context.Context, node string) (time.Time, error) {
				if !up.Load() {
					return time.Time{}, errors.New("down")
				}
				if node == "n3" { // it does not answer
					<-ctx.Done()
					return time.Time{}, ctx.Err()
				}
				return time.Now().Add(time.Duration(off.Load())), nil
			},
			Observe: func(time.Duration) {},
			Log:     slog.New(slog.DiscardHandler),
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.Run(ctx)
		}()
		time.Sleep(time.Minute) // of virtual time: nobody answers
		if w.Trusted() {
			t.Error("trusted without a comparison")
		}
		up.Store(true)
		time.Sleep(soon) // of virtual time
		synctest.Wait()
		if !w.Trusted() {
			t.Error("not trusted as soon as a majority has answered")
		}
		cancel()
		<-ended
		alone := NewWatch(Options{Now: time.Now, Others: func() []string { return nil }, Log: slog.New(slog.DiscardHandler)})
		if !alone.Trusted() {
			t.Error("a node alone has nobody to compare with")
		}
	})
}
