package members

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"quorumta/bench/load"
	"quorumta/bench/trial"
)

// The clients wait for a second and turn to the next node.
const (
	sessions = 32
	patience = time.Second
)

// clients make a steady load on the nodes of a list.
type clients struct {
	t    *trial.Trial
	rate float64

	// stop ends the load on the list as it is now; nil before the first.
	stop    context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex // guards records
	records []load.Record
}

// follow has the clients use the nodes that the cluster has now. Those of the
// old list finish the message at hand while the new ones begin.
func (c *clients) follow(ctx context.Context) error {
	l, err := c.t.NewLoad(load.Options{
		Sessions: sessions, Rate: c.rate, Record: c.record,
		ConnectTimeout: patience, CommandTimeout: patience, DotTimeout: patience,
	})
	if err != nil {
		return err
	}
	loading, stop := context.WithCancel(ctx)
	c.running.Go(func() { l.Run(loading) })
	if c.stop != nil {
		c.stop()
	}
	c.stop = stop
	return nil
}

func (c *clients) record(r load.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.records = append(c.records, r)
}

// end ends the load and returns what became of each message, by the time at
// which that was known.
func (c *clients) end() []load.Record {
	if c.stop != nil {
		c.stop()
	}
	c.running.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortFunc(c.records, func(a, b load.Record) int { return cmp.Compare(a.At.UnixNano(), b.At.UnixNano()) })
	return c.records
}
