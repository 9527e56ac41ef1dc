package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	interval = time.Second
	// changeTimeout bounds one change of a configuration.
	changeTimeout = 10 * time.Second
)

// Options reach the groups of a node; every field is needed.
type Options struct {
	// Groups are the groups here.
	Groups func() []uint16
	// Next is the group's next step, None where it is not led here.
	Next func(group uint16) Step
	// Change makes the step, and returns when it is committed.
	Change func(ctx context.Context, group uint16, s Step) error
	Log    *slog.Logger
}

// Run makes the steps of all groups, one at a time in each, until ctx ends.
// Groups do not wait for each other.
func Run(ctx context.Context, o Options) {
	var changing sync.WaitGroup
	defer changing.Wait()
	var mu sync.Mutex
	busy := map[uint16]bool{}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		for _, group := range o.Groups() {
			mu.Lock()
			waits := busy[group]
			mu.Unlock()
			if waits {
				continue
			}
			step := o.Next(group)
			if step.Action == None {
				continue
			}
			mu.Lock()
			busy[group] = true
			mu.Unlock()
			changing.Go(func() {
				within, cancel := context.WithTimeout(ctx, changeTimeout)
				defer cancel()
				if err := o.Change(within, group, step); err != nil && ctx.Err() == nil {
					o.Log.Info("the configuration was not changed", "shard", group, "err", err)
				}
				mu.Lock()
				defer mu.Unlock()
				delete(busy, group)
			})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
